// SPDX-License-Identifier: Apache-2.0
// A capsule's terminal: a pty of a devpts instance of its own, which neither the host nor the target nor another capsule can see.
// The supervisor keeps the master, which nobody else ever has; the slave is the payload's.
#pragma once

#include <cstdint>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// Terminals alive at once. Each devpts instance has at most kMostPtys, so that all of them together stay far below kernel.pty.max
// (4096 by default, of which 1024 are kept for the host's own).
inline constexpr unsigned kMostTerminals = 256;
inline constexpr const char* kMostPtys = "8";  // of one capsule, its own script(1) or tmux(1) included

struct Terminal {
    UniqueFd master;  // non-blocking
    UniqueFd slave;   // kept too: else the master would be at its end whenever the payload has no process with it open
    UniqueFd mount;   // the devpts instance, detached: for the capsule's /dev/pts
};

Result<Terminal> openTerminal(std::uint32_t uid, std::uint32_t gid, std::uint32_t rows, std::uint32_t columns);
Result<void> resizeTerminal(int master, std::uint32_t rows, std::uint32_t columns);

}  // namespace recap::launcher
