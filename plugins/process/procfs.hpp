// SPDX-License-Identifier: Apache-2.0
// What /proc tells of a process to somebody without CAP_SYS_PTRACE. The links in /proc/PID/ns are not among it; these are,
// and they tell most namespaces apart: NSpid in status (pid), the inode of net/dev (each network namespace has its own),
// mount ids in mountinfo (no two mount namespaces share one), uid_map (user), timens_offsets (time). The ipc, uts and
// cgroup namespaces leave no trace; where the links can be read all the same, they are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recap::process {

struct Process {
    pid_t pid = 0;
    pid_t parent = 0;
    std::uint64_t startTime = 0;  // clock ticks since boot
    std::string name;             // comm
    bool kernelThread = false;
    bool zombie = false;
    std::vector<pid_t> nested;         // its pid in each pid namespace, outermost first
    std::vector<std::string> cgroups;  // every hierarchy's path
    std::string cgroup;                // the one that it is known by
    std::uint64_t network = 0;         // tells network namespaces apart; 0: not known
    bool isNamespaceInit() const { return nested.size() > 1 && nested.back() == 1; }
};

// Nothing: there is no such process (any more).
std::optional<Process> readProcess(pid_t pid);
std::vector<pid_t> allPids();

// The host's own namespaces, as far as they are visible, taken from PID 1.
class HostNamespaces {
public:
    HostNamespaces();
    bool sharesNetwork(const Process& process) const { return process.network == 0 || process.network == network_; }
    // Any namespace that differs from the host's; reads more of /proc than Process holds.
    bool sharesAll(const Process& process) const;

private:
    std::uint64_t network_ = 0;
    std::vector<std::string> mounts_;  // ids, sorted
    std::string userMap_;
    std::string timeOffsets_;
    std::vector<std::string> links_;
};

// True: the process has a user namespace into which `uid` is mapped, so that `uid` made it or may enter it.
bool isInUserNamespaceOf(pid_t pid, uid_t uid);

}  // namespace recap::process
