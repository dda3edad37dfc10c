// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/tools/rootfs.hpp"

namespace recap::tools {

// Each program goes to /usr/bin/NAME. A dynamic one brings its interpreter and the libraries which that resolves here, put
// where it looks without configuration. `folders` are searched, in order, for paths that are not absolute.
Result<void> addBinaries(Rootfs& rootfs, const std::vector<std::string>& binaries, const std::vector<std::filesystem::path>& folders);

// The interpreter that an ELF program of this machine names; empty: a static one.
Result<std::string> interpreterOf(const std::filesystem::path& program);

}  // namespace recap::tools
