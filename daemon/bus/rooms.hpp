// SPDX-License-Identifier: Apache-2.0
// What the bus room speaks for: the other rooms, by their interfaces. All outlive it.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <string>

#include "daemon/bus/authority.hpp"
#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/image_exporter.hpp"
#include "daemon/core/image_store.hpp"
#include "daemon/core/launcher.hpp"
#include "daemon/core/planner.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/schedules.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/core/tenants.hpp"

namespace recap::bus {

struct Rooms {
    sd_event* loop;
    Launcher& launcher;
    Planner& planner;
    RunTable& runs;
    BatchTable& batches;
    TargetTable& targets;
    CapsuleStore& capsules;
    PolicyStore& policies;
    ImageStore& images;
    ImageExporter& exporter;
    std::function<Result<void>()> reload;  // settings, policies and capsules
    // Asks the launcher which images root has admitted; `then` is called in any case.
    std::function<void(std::function<void()> then)> refreshAdmissions;
    std::string state;  // the folder that no message names
    const Tenants& tenants;
    ScheduleTable& schedules;
};

struct Context {
    Rooms rooms;
    Authority& authority;
    std::function<void()> capsulesChanged;
    // Told to the bus when the rooms have had their turn, in this order, and before anything else is told of a run.
    std::function<void(std::function<void()> tell)> soon;
};

// What polkit is told about running a capsule on a target, both as far as they are known, as the caller wants it.
Right runRight(const Rooms& rooms, const std::string& capsule, const std::string& target, const std::string& verb,
               const Adjustments& adjustments = {});
// The right to this run on its target as that is now, and what its answer would allow.
struct RunQuestion {
    Right right;
    Authorisation authorised;
};
RunQuestion runQuestion(const Rooms& rooms, const RunRequest& request, const std::string& verb);
// Bits: of the host's namespaces those that the capsule would be in on this target, as far as that is known.
std::uint32_t hostNamespacesOf(const Rooms& rooms, const CapsuleInfo& capsule, const std::string& target);
// Likewise about whatever targets it has, now and later: for who enables it.
Right enableRight(const Rooms& rooms, const std::string& capsule);
Right manageRight(const std::string& what, const std::string& verb, const std::string& name);  // "capsules", "images"

// The capsule's image, where it is imported.
const Image* imageOf(const Rooms& rooms, const CapsuleInfo& capsule);

}  // namespace recap::bus
