// SPDX-License-Identifier: Apache-2.0
// Targets: running containers, as a backend names them and as recapd has checked them.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/text_map.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

// BACKEND:ID, the form that names one target for sure.
struct TargetId {
    std::string backend;
    std::string id;
    auto operator<=>(const TargetId&) const = default;
    std::string text() const { return backend + ":" + id; }
};

// A range of ids in a user namespace: `inside` there is `outside` on the host (user_namespaces(7), uid_map).
struct IdRange {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t count = 0;
    bool operator==(const IdRange&) const = default;
};

// What recap-launcher's INSPECT found through its own procfs, once per target life; for planning, and the plan's expected
// values. Index of `namespaces` = number of the bit (pid net ipc uts user cgroup time mnt).
struct TargetFacts {
    std::uint64_t startTime = 0;  // clock ticks since boot
    std::string cgroup;
    std::array<std::uint64_t, 8> namespaces{};
    std::uint32_t hostNamespaces = 0;  // bits of namespaces that are the host's
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    std::uint64_t capBounding = 0;
    std::uint64_t capEffective = 0;
    std::vector<std::string> foreignMounts;
    std::vector<IdRange> uidMap;  // of a target with a user namespace of its own; else empty
    std::vector<IdRange> gidMap;
    bool operator==(const TargetFacts&) const = default;
};

enum class TargetState { Running, Paused, Stopped };

struct Target {
    TargetId id;
    std::string name;     // what people call it; need not be unique
    std::string image;    // as the backend names it; may be empty
    std::string runtime;  // "runc", "crun", "process", …
    TextMap labels;
    std::vector<std::string> aliases;  // further names that people use; need not be unique either
    TextMap details;                   // what the backend knows beside: see plugin.h, RECAP_DETAIL_…
    TargetState state = TargetState::Running;
    pid_t pid = 0;  // its first process, in the host's pid namespace
    std::uint64_t startTime = 0;
    std::string cgroup;  // as the backend names it; may be empty
    std::string tenant;
    std::shared_ptr<UniqueFd> pidfd;   // opened by recapd before pid, start time and cgroup were checked to belong together
    std::optional<TargetFacts> facts;  // once INSPECT has answered
};

}  // namespace recap
