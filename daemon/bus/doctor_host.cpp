// SPDX-License-Identifier: Apache-2.0
// Settings of the host that decide how many capsules fit, how fast they start, and what can hold one up.
#include <algorithm>
#include <fstream>

#include "daemon/bus/doctor.hpp"

namespace recap::bus {
namespace {

constexpr std::uint64_t kRuns = 4096;            // the usual ceiling's: capsules alive at once
constexpr std::uint64_t kProcessesOfARun = 128;  // a manifest's usual limit
constexpr std::uint64_t kFilesOfARun = 12;       // of recap-launcher's: some 8, and more with a terminal and somebody attached
constexpr std::uint64_t kFilesApart = 256;       // its own, and what it keeps for messages and for ending capsules

std::optional<std::uint64_t> numberIn(const char* path) {
    std::ifstream file(path);
    std::uint64_t number = 0;
    if (file >> number) return number;
    return std::nullopt;
}

void examineFuse(const HostFacts& host, Rows& rows) {
    const std::uint64_t seconds = host.fuseTimeout.value_or(0);
    if (seconds != 0)
        return add(rows, "fuse timeout", "ok", "a FUSE server that does not answer for " + std::to_string(seconds) + " s loses its mount");
    const std::string why = host.fuseTimeout ? "fs.fuse.max_request_timeout is 0" : "there is no fs.fuse.max_request_timeout";
    add(rows, "fuse timeout", "warning",
        why + ": a FUSE server that never answers can hold a capsule's process, which then can't be killed, for as long as it likes",
        "sysctl fs.fuse.max_request_timeout=60 (Linux 6.15, with its fuse module loaded); it counts for what is mounted afterwards, and "
        "a server that needs longer for an answer loses its mount");
}

void examineRoom(Rows& rows, const char* check, const std::string& what, std::uint64_t capsules, const char* advice) {
    const bool enough = capsules >= kRuns;
    add(rows, check, enough ? "ok" : "warning", what + ": enough for about " + std::to_string(capsules) + " capsules at once",
        enough ? "" : advice);
}

// Where limits are those of version 2, capsules are born in their cgroups, and no process is ever moved.
void examineMoves(const HostFacts& host, Rows& rows) {
    if (!host.movesProcesses)
        return add(
            rows, "favordynmods", "ok",
            std::string(host.favorsMoves ? "on" : "off") + ": no difference to an attach here, where no process is moved between cgroups");
    if (host.favorsMoves) return add(rows, "favordynmods", "ok", "on: processes are moved between cgroups without waiting");
    add(rows, "favordynmods", "warning",
        "off: moving a process into version 1's cgroups waits for a grace period of the kernel, some 10 ms, which a run pays where no "
        "worker has been parked ahead of it",
        "mount -o remount,favordynmods /sys/fs/cgroup/unified (Linux 6.0), which makes fork and exit a little slower on the whole host; or "
        "boot with systemd.unified_cgroup_hierarchy=1");
}

}  // namespace

bool favorsMoves(std::istream& mountinfo) {
    for (std::string line; std::getline(mountinfo, line);) {
        const auto after = line.find(" - cgroup2 ");
        if (after != std::string::npos && line.find("favordynmods", after) != std::string::npos) return true;
    }
    return false;
}

HostFacts lookAtHost(std::uint64_t launcherFiles) {
    std::ifstream mounts("/proc/self/mountinfo");
    return {.fuseTimeout = numberIn("/proc/sys/fs/fuse/max_request_timeout"),
            .pidMax = numberIn("/proc/sys/kernel/pid_max").value_or(0),
            .launcherFiles = launcherFiles,
            .movesProcesses = !isCgroup2("/sys/fs/cgroup"),
            .favorsMoves = favorsMoves(mounts)};
}

void examineHost(const HostFacts& host, Rows& rows) {
    examineFuse(host, rows);
    if (host.pidMax != 0)
        examineRoom(rows, "pid_max",
                    "kernel.pid_max is " + std::to_string(host.pidMax) + ", and " + std::to_string(kProcessesOfARun) +
                        " is a capsule's usual limit of processes",
                    host.pidMax / kProcessesOfARun, "sysctl kernel.pid_max=4194304; or lower [limits] pids of the capsules");
    if (host.launcherFiles != 0)
        examineRoom(rows, "open files", "recap-launcher may have " + std::to_string(host.launcherFiles) + " files open",
                    (host.launcherFiles - std::min(host.launcherFiles, kFilesApart)) / kFilesOfARun,
                    "LimitNOFILE=65536 in recap-launcher.service; what is beyond it is refused until another run has ended");
    examineMoves(host, rows);
}

}  // namespace recap::bus
