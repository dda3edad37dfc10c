// SPDX-License-Identifier: Apache-2.0
// What a capsule may see and touch. The manifest asks, policies narrow, the planner decides, the launcher applies.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap {

enum class Processes { None, Observe, Join };
enum class View { None, ReadOnly, Merged, Write };
enum class OnViolation { Errno, Kill, Log };
enum class UserKind { Target, Root, Ids };

struct Limits {                  // each is set; there is no unlimited
    std::uint64_t memory = 0;    // bytes
    std::uint32_t cpuMilli = 0;  // thousandths of a CPU
    std::uint32_t pids = 0;
    std::uint64_t scratch = 0;  // bytes
    std::chrono::microseconds timeout{0};
    auto operator<=>(const Limits&) const = default;
};

struct SandboxSpec {
    std::uint32_t namespaces = 0;  // launcher protocol's bits: pid 1 net 2 ipc 4 uts 8 user 16 cgroup 32 time 64
    Processes processes = Processes::None;
    View view = View::None;
    std::vector<std::string> writes;
    UserKind user = UserKind::Target;
    std::uint32_t uid = 0;  // for Ids
    std::uint32_t gid = 0;
    std::uint64_t capabilities = 0;  // mask, bit = capability's number
    bool freeze = false;
    std::set<std::string> syscalls;  // names allowed; what is not here gets `onViolation`
    OnViolation onViolation = OnViolation::Errno;
    Limits limits;
    std::uint64_t artifactsMax = 0;
    std::uint64_t logMax = 0;
};

}  // namespace recap
