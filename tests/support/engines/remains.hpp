// SPDX-License-Identifier: Apache-2.0
// What an engine of the tests' own may leave behind it when it has ended.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace recap::test {

// Waits for processes that have `folder` in their command line and mounts below it to go, and removes the cgroups of the name
// `cgroup` in every hierarchy. Says what did not go by itself, and makes it go.
std::vector<std::string> clearRemains(const std::filesystem::path& folder, const std::string& cgroup);

}  // namespace recap::test
