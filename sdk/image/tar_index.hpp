// SPDX-License-Identifier: Apache-2.0
// Finds the members of a tar file of artifacts without unpacking it, and hands out one of them. Reads ustar and pax as
// recap-collect writes them, and strictly: what it does not know is an error. Names are only shown and compared, never used
// as paths.
#pragma once

#include <vector>

#include "sdk/image/limits.hpp"
#include "sdk/image/tar_writer.hpp"

namespace recap::image {

struct IndexedMember : TarMember {
    std::uint64_t offset = 0;  // of the content in the file
};

// Of a regular file, from its start. Members whose names are not clean, or that are not files or folders, are refused.
Result<std::vector<IndexedMember>> indexTar(int fd, const Limits& limits = {});

// Writes a regular member's content to `out`, which is anything that can be written to.
Result<void> copyMember(int fd, const IndexedMember& member, int out);

}  // namespace recap::image
