// SPDX-License-Identifier: Apache-2.0
// Where settings are looked for: the same names in several folders, the strongest one counts, a link to /dev/null says
// "there is none".
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::manifest {

struct LayeredFile {
    std::string name;  // "tcpdump.toml"
    std::filesystem::path path;
};

// Every *.toml of `folders` (weakest first), by name, each once, masks taken away. Folders that don't exist are no error;
// hidden files are left out.
std::vector<LayeredFile> layeredFiles(const std::vector<std::filesystem::path>& folders);

// The one file of that name that counts; empty: none, or masked.
std::filesystem::path layeredFile(const std::vector<std::filesystem::path>& folders, std::string_view name);

// A regular file of at most guard.hpp's kMaxText bytes (a longer one fails here, unread).
Result<std::string> readText(const std::filesystem::path& path);

// Replaces `path` at once and durably: written beside it, synced, renamed, the folder synced.
Result<void> writeText(const std::filesystem::path& path, std::string_view text, unsigned mode);

}  // namespace recap::manifest
