// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/tools/rootfs.hpp"

namespace recap::tools {

struct PackageOptions {
    std::filesystem::path scratch;  // an empty folder, traversable by everybody (apt fetches as its own user)
    std::filesystem::path cache;    // where fetched packages stay between builds
};

// Debian packages and everything they depend on, by this machine's sources of apt, into `rootfs`; their versions by name.
// Nothing is installed on this machine, and no maintainer script runs: packages that only those need are left out, unless
// they are asked for by name.
Result<std::map<std::string, std::string>> addPackages(Rootfs& rootfs, const std::vector<std::string>& packages,
                                                       const PackageOptions& options);

}  // namespace recap::tools
