// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace recap::image {

struct FileEntry {
    enum class Kind { Regular, Directory, Symlink, Whiteout } kind = Kind::Regular;
    std::uint32_t mode = 0;
    std::string link;     // of a symlink
    bool opaque = false;  // of a folder: hides what lower layers have in it
};

// Clean relative path -> entry; "" is the root.
using FileTable = std::map<std::string, FileEntry>;

// Lays a layer over what is below it, as overlayfs shows them: whiteouts and opaque folders applied, none kept.
void applyLayer(FileTable& image, const FileTable& layer);

}  // namespace recap::image
