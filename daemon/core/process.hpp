// SPDX-License-Identifier: Apache-2.0
// A process as procfs shows it, pinned by a pidfd so that a reused pid is noticed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

struct PinnedProcess {
    UniqueFd pidfd;
    std::uint64_t startTime = 0;       // clock ticks since boot
    std::vector<std::string> cgroups;  // its path in every hierarchy
};

// Errc::TargetGone where there is no such process (any more). Needs no right over the process.
Result<PinnedProcess> pinProcess(pid_t pid);

// Of recap-launcher as it is installed; its capsules are below it.
inline const std::string kLauncherCgroup = "/system.slice/recap-launcher.service";

// In that cgroup or below it, in any hierarchy: a container's own systemd moves itself into a cgroup within. Everything is below
// "/", so that only what is right in it counts there.
bool isIn(const PinnedProcess& process, const std::string& cgroup);

// True once the process has ended.
bool ended(const UniqueFd& pidfd);

}  // namespace recap
