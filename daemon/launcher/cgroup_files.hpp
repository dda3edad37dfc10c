// SPDX-License-Identifier: Apache-2.0
// Reading and writing the control files of cgroups, by the descriptor of a cgroup's folder. cgroups(7), and the kernel's cgroup-v2.rst.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace recap::launcher {

int openDir(int dir, const char* path);
// One write(2): cgroup files take a value whole.
bool writeFile(int dir, const char* file, std::string_view value);
std::string readFile(int dir, const char* file);  // the first 4 KiB; empty where there is none
std::uint64_t toNumber(std::string_view text);
// The number behind "key " in a flat-keyed file; 0 where it is absent.
std::uint64_t keyed(std::string_view text, std::string_view key);

}  // namespace recap::launcher
