// SPDX-License-Identifier: Apache-2.0
// Targets that stand still while a capsule looks at them: their own cgroup, frozen by cgroup.freeze (v2), or by v1's freezer where
// only that tells them apart. What is frozen is written down before, so that a launcher that is started again lets it go.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "daemon/launcher/procfs.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

class Freezer {
public:
    Freezer() = default;
    // `hostPids`: inode of the host's pid namespace. `runDir`: below it "frozen/" holds one record a run.
    static Result<Freezer> open(const Procfs& procfs, std::uint64_t hostPids, const std::string& runDir);

    // Freezes the cgroup of the process behind `target`, which must hold nothing of the host's. Returns what awaitFrozen() takes.
    Result<UniqueFd> freeze(const Procfs& procfs, const std::string& runId, int target);
    // True when nothing that this run froze is still frozen for it. One that was frozen before stays so.
    bool thaw(const std::string& runId);
    unsigned sweep();  // lets go what an earlier launcher held; how many

private:
    struct Place {
        bool v1 = false;
        std::string path;  // from the hierarchy's mount point
        std::uint64_t inode = 0;
        bool operator<(const Place& other) const { return std::tie(v1, path, inode) < std::tie(other.v1, other.path, other.inode); }
    };
    struct Held {
        unsigned runs = 0;
        bool before = false;  // somebody else had frozen it
    };
    Result<Place> placeOf(const Procfs& procfs, pid_t pid) const;
    UniqueFd open(const Place& place) const;
    Result<void> checkForeigners(const Procfs& procfs, const Place& place, int dir, unsigned& left, unsigned depth = 0) const;
    Result<void> record(const std::string& runId, const Place& place) const;
    static bool set(const Place& place, int dir, bool frozen);

    UniqueFd unified_, v1_, records_;
    std::string ownUnified_, ownV1_;  // this process's own places
    std::uint64_t hostPids_ = 0;
    std::map<Place, Held> held_;
    std::map<std::string, Place> runs_;
};

// In the capsule's init: until the cgroup stands still, for a second at most; -1 with errno.
int awaitFrozen(int state);

}  // namespace recap::launcher
