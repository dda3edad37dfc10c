// SPDX-License-Identifier: Apache-2.0
// The end of a child that was killed: normally within microseconds. One that waits for a server in the kernel (FUSE, a network
// filesystem) ends when the kernel lets it, and nobody waits for that.
#pragma once

#include <sys/types.h>

#include "daemon/launcher/loop.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// Kills a child and reaps it: now, if it is gone within `kReapNowMs`, else on the loop once it is. `held` is closed then, not before.
inline constexpr int kReapNowMs = 100;
void killAndReap(Loop& loop, pid_t child, UniqueFd held = {});

}  // namespace recap::launcher
