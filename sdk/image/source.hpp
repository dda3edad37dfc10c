// SPDX-License-Identifier: Apache-2.0
// Where an image's documents and blobs come from.
#pragma once

#include <memory>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/image/limits.hpp"

namespace recap::image {

class Source {
public:
    virtual ~Source() = default;
    // A regular file of the layout, read-only and from its start: "index.json", "blobs/sha256/HEX".
    virtual Result<UniqueFd> open(const std::string& path) = 0;
};

// An OCI layout folder. Its files are opened here and now, and not read: the caller may close `folder` and go into a jail
// before it asks for one. Nothing outside of the folder is reached, whatever its links say.
Result<std::unique_ptr<Source>> openFolder(int folder);

// An oci-archive or a docker-archive: tar, plain or in gzip or zstd, from a file or a pipe (borrowed, read once). What of it
// belongs to an image is kept in nameless files of `spool`, a folder of the caller's. A docker-archive is read as the layout
// that says the same.
Result<std::unique_ptr<Source>> openArchive(int archive, int spool, const Limits& limits);

}  // namespace recap::image
