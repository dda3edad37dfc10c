// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/file_table.hpp"

namespace recap::image {
namespace {

void eraseBelow(FileTable& image, const std::string& path) {
    if (path.empty()) {
        std::erase_if(image, [](const auto& entry) { return !entry.first.empty(); });
        return;
    }
    const auto first = image.lower_bound(path + "/");
    const auto last = image.lower_bound(path + "0");  // '0' follows '/'
    image.erase(first, last);
}

}  // namespace

void applyLayer(FileTable& image, const FileTable& layer) {
    for (const auto& [path, entry] : layer) {  // what is hidden goes first: a layer never hides its own
        if (entry.kind != FileEntry::Kind::Directory || entry.opaque) eraseBelow(image, path);
        if (entry.kind == FileEntry::Kind::Whiteout) image.erase(path);
    }
    for (const auto& [path, entry] : layer) {
        if (entry.kind == FileEntry::Kind::Whiteout) continue;
        auto& merged = image[path];
        merged = entry;
        merged.opaque = false;
    }
}

}  // namespace recap::image
