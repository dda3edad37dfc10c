// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/core/host.hpp"
#include "daemon/core/image.hpp"
#include "daemon/core/planner.hpp"
#include "daemon/plan/capsules.hpp"
#include "daemon/plan/policies.hpp"
#include "daemon/plan/seccomp.hpp"

namespace recap::plan {

// Everything that the references name outlives the planner. On the loop.
class CapsulePlanner final : public Planner {
public:
    CapsulePlanner(const CapsuleFiles& capsules, const PolicyFiles& policies, const SyscallTable& table, const ImageIndex& images)
        : capsules_(capsules), policies_(policies), table_(table), images_(images) {}

    // What plans from now on are made with: settings.policies, settings.grace.
    void configure(Settings settings);
    // What the launcher allows of the host's, asked for each plan; without it nothing.
    void boundBy(std::function<HostBounds()> bounds) { bounds_ = std::move(bounds); }
    // Makes every capsule's part that no run changes ahead of its first run: milliseconds each, after start and reload.
    // What fails here fails again, with its sentence, when the capsule is run.
    void warm();

    Result<RunPlan> plan(const RunId& id, const RunRequest& request, const Target& target) override;
    std::vector<std::string> describe(const RunPlan& plan) const override;

private:
    // What does not depend on target, caller and arguments: made once a capsule's text and the policies' state.
    struct Prepared {
        std::uint64_t revision = 0;
        std::uint64_t generation = 0;
        Narrowed narrowed;
        std::shared_ptr<const Filter> filter;
    };
    Result<const Prepared*> prepare(const CapsuleInfo& capsule, const manifest::Manifest& manifest);
    Result<const Prepared*> prepareAdjusted(const manifest::Manifest& manifest);
    Result<Prepared> prepareNow(const manifest::Manifest& manifest);
    const std::vector<std::string>& runtimesOf(const std::string& backend) const;

    const CapsuleFiles& capsules_;
    const PolicyFiles& policies_;
    const SyscallTable& table_;
    const ImageIndex& images_;
    Settings settings_;
    std::function<HostBounds()> bounds_;
    FilterCache filters_;
    std::map<std::string, Prepared> prepared_;
    Prepared adjusted_;  // of the run that is being planned, where its caller chose something
};

}  // namespace recap::plan
