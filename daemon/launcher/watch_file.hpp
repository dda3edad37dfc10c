// SPDX-License-Identifier: Apache-2.0
// WATCH of a file: the one place where a path is followed through a target's files, which the target may change meanwhile.
#pragma once

#include "daemon/launcher/watch_open.hpp"

namespace recap::launcher {

// An inotify(7) with one watch. Refused where the way there goes over a FUSE or network mount, as far as that can be seen before.
Result<OpenedWatch> openFile(const WatchOrder& order);

}  // namespace recap::launcher
