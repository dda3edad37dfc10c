// SPDX-License-Identifier: Apache-2.0
// What an engine of the tests' own may leave behind it when it has ended.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace recap::test {

// Waits for processes that have `folder` in their command line and mounts below it to go, and clears `cgroup`. Says what did not
// go by itself, and makes it go: `folder` has to be of the caller's own making (mkdtemp's), or it names somebody else's processes.
std::vector<std::string> clearRemains(const std::filesystem::path& folder, const std::string& cgroup);

// Removes the cgroups of this name in every hierarchy; says which did not go.
std::vector<std::string> clearCgroups(const std::string& cgroup);

}  // namespace recap::test
