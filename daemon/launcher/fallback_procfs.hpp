// SPDX-License-Identifier: Apache-2.0
// Before Linux 6.17 a procfs shows the pid namespace of whoever opens it, so that somebody must go into the target's for one system
// call. What goes there is as little as can be: born with no descriptor but a socket, no file system but an empty one, CAP_SYS_ADMIN
// alone, and a filter that allows that call, and to tell of it. Whoever seizes it (threats T1, T3) has just that.
#pragma once

#include "daemon/launcher/attach.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// A context, not yet a mount, for a procfs of this pid namespace; or empty, with errno: ETIMEDOUT where a target holds it up.
UniqueFd openProcOf(const Prepared& prepared, int pidNamespace);

// Whether a mount is a procfs: what came out of a target's pid namespace is looked at.
bool isProcfs(int mount);

}  // namespace recap::launcher
