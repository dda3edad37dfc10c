// SPDX-License-Identifier: Apache-2.0
// Reading and writing the control files of cgroups, by the descriptor of a cgroup's folder. cgroups(7), and the kernel's cgroup-v2.rst.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/launcher/procfs.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// Where a hierarchy is mounted: version 2's for "", else that of version 1 which has this controller. Empty: nowhere.
UniqueFd openHierarchy(const std::vector<MountLine>& mounts, std::string_view controller);
// The path of a process on one hierarchy, by the text of /proc/PID/cgroup; "" for the unified one.
std::string cgroupOn(std::string_view text, std::string_view controller);
UniqueFd openCgroup(const UniqueFd& hierarchy, const std::string& path);  // never the root, nor anything outside of it

int openDir(int dir, const char* path);
// One write(2): cgroup files take a value whole.
bool writeFile(int dir, const char* file, std::string_view value);
std::string readFile(int dir, const char* file);  // the first 4 KiB; empty where there is none
std::uint64_t toNumber(std::string_view text);
// The number behind "key " in a flat-keyed file; 0 where it is absent.
std::uint64_t keyed(std::string_view text, std::string_view key);

}  // namespace recap::launcher
