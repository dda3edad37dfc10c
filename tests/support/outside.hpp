// SPDX-License-Identifier: Apache-2.0
// The observer: what a machine looks like around a run, seen by the kernel's own files and not through the code under
// test. Take one picture before and one after; what differs is what was left behind.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/proc.hpp"

namespace recap::test {

struct OutsideScope {
    std::vector<pid_t> targets = {};                      // whose namespaces, mounts, files and zombies are looked at
    std::vector<pid_t> daemons = {};                      // whose open descriptors, children and mounts are looked at
    std::vector<std::filesystem::path> cgroupRoots = {};  // folders below the cgroup mounts, of any hierarchy
    std::vector<std::filesystem::path> folders = {};      // entries and sizes
    std::vector<std::filesystem::path> contents = {};     // entries, sizes, owners and contents (a target's root)
};

// What was found, by where it is; the values are what must not change.
struct Picture {
    std::map<std::string, std::string> items;
    bool settled = true;  // no child of a daemon is on its way to be a parked worker
};

class Outside {
public:
    explicit Outside(OutsideScope scope) : scope_(std::move(scope)) {}
    Picture look() const;

private:
    Picture lookOnce() const;
    void lookAtProcesses(Picture& picture) const;
    void lookAtMounts(Picture& picture) const;
    void lookAtCgroups(Picture& picture) const;
    void lookAtFiles(Picture& picture) const;
    void lookAtDescriptors(Picture& picture) const;

    OutsideScope scope_;
};

// "appeared: process 4242 'sleep' in the net namespace of 17", "gone: …", "changed: file …: a -> b"; empty: nothing.
std::vector<std::string> differences(const Picture& before, const Picture& after);

// Looks until two looks see the same, or patience ends: what was just started may still be at it.
Picture lookWhenQuiet(const Outside& outside);

// Looks until nothing differs from `before` or patience ends (the last teardown steps come after the answer); returns
// what is left then. Differences that `expected` says are meant to be do not count.
std::vector<std::string> leftAfter(
    const Outside& outside, const Picture& before,
    const std::function<bool(const std::string&)>& expected = [](const std::string&) { return false; });

// One of the launcher's that make the clones, by its name: those that are parked too (daemon/launcher/parking.hpp).
bool isSpawnWorker(const Process& process);

// Every process that shares a pid, net, ipc or uts namespace with the target, "kind" by kind.
std::vector<pid_t> companionsOf(pid_t target);

}  // namespace recap::test
