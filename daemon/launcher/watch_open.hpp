// SPDX-License-Identifier: Apache-2.0
// Opens what tells of an event in a target. Of a file that may take as long as a file server of the target's likes: to be done in a
// child that can be left behind. Nothing of the target stays open in it but what is answered.
#pragma once

#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/procfs.hpp"
#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

// The hierarchies that tell of a cgroup's events, and where this process is in them.
struct WatchPlaces {
    static Result<WatchPlaces> open(const Procfs& procfs);

    UniqueFd unified, memory;  // memory: of version 1
    std::string ownUnified, ownMemory;
};

// A watch that was checked (checks.hpp).
struct WatchOrder {
    const Procfs& procfs;
    const WatchPlaces& places;
    const WatchRequest& what;
    int target = -1;          // its pidfd
    FolderId root;            // the target's, as it was when the watch was checked
    std::uint32_t owner = 0;  // the user whose quota of inotify instances it takes
};

struct OpenedWatch {
    Watched what;  // without an id
    UniqueFd fd;
};

Result<OpenedWatch> openWatch(const WatchOrder& order);

}  // namespace recap::launcher
