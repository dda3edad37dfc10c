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

// True once the process has ended.
bool ended(const UniqueFd& pidfd);

}  // namespace recap
