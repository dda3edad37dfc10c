// SPDX-License-Identifier: Apache-2.0
// Makes OCI images out of lists of files. The same input gives the same bytes: entries sorted, owned by root, no clock.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/image/oci.hpp"

namespace recap::image {

struct FileSpec {
    enum class Kind { Regular, Directory, Symlink } kind = Kind::Regular;
    std::uint32_t mode = 0644;
    std::int64_t mtime = 0;
    std::string link;    // of a symbolic link
    std::string source;  // of a regular file: a path on this machine; empty: `data` is the content
    std::string data;
};

// A layer: clean relative path -> file. Folders on the way that are not listed are made with mode 0755.
using FileList = std::map<std::string, FileSpec>;

struct ImageSpec {
    std::vector<FileList> layers;  // lowest first
    ImageConfig config;            // diffIds are filled in; an empty architecture means this machine's
    std::string reference;         // for the index's annotation; may be empty
    Compression compression = Compression::Gzip;
};

struct WrittenImage {
    std::string digest;      // of the manifest
    std::uint64_t size = 0;  // of file contents, unpacked
};

// `path` is made, and must not exist or be an empty folder.
Result<WrittenImage> writeLayoutFolder(const ImageSpec& spec, const std::string& path);
// One tar file; replaced when it exists.
Result<WrittenImage> writeOciArchive(const ImageSpec& spec, const std::string& path);

}  // namespace recap::image
