// SPDX-License-Identifier: Apache-2.0
// Processes as the kernel shows them; nothing here goes through RECap.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace recap::test {

struct Process {
    pid_t pid = 0;
    pid_t parent = 0;
    char state = '?';
    std::uint64_t startTime = 0;
    std::string name;     // comm
    std::string cgroups;  // text of /proc/PID/cgroup
};

std::optional<Process> processOf(pid_t pid);
std::vector<Process> allProcesses();
std::uint64_t namespaceOf(pid_t pid, const std::string& kind);  // inode; 0: can't be read (a zombie has none but pid's)
std::map<std::string, std::string> statusOf(pid_t pid);         // fields of /proc/PID/status, trimmed
std::vector<pid_t> childrenOf(pid_t pid);
// A process's cgroup on the hierarchy with this controller of version 1, or "" on the unified one; empty: it has none there.
std::filesystem::path cgroupOf(pid_t pid, const std::string& controller);
// Of the cgroup that it is in.
void limitMemory(pid_t pid, std::uint64_t bytes);
std::filesystem::path unifiedCgroups();  // where cgroup v2 is mounted; v1's hierarchies may be beside it

}  // namespace recap::test
