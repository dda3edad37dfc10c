// SPDX-License-Identifier: Apache-2.0
// One layer's tar becomes a folder that overlayfs can mount as a lower one (with userxattr). What is done with entries:
//   files, folders, symbolic links   made; owners and permission bits kept, setuid and setgid cleared
//   hard links                       made, to an earlier regular file of the same layer only
//   whiteouts                        a character device 0:0 (needs no CAP_MKNOD); opaque ones user.overlay.opaque
//   devices, fifos, sockets          refused by name: a capsule's /dev is the launcher's
//   extended attributes              none is kept (file capabilities among them); trusted.* and overlay's own refuse the layer
//   a path through a symbolic link, or a second entry for anything but a folder: refused
// Every file is made relative to a folder that openBeneath() reached, so that names reach nothing outside of the layer even
// where this judgement were wrong.
#pragma once

#include "sdk/image/archive.hpp"
#include "sdk/image/file_table.hpp"
#include "sdk/image/limits.hpp"

namespace recap::image {

// What an image has cost so far.
struct Budget {
    Limits limits;
    std::uint64_t bytes = 0;
    std::uint32_t entries = 0;
};

// Into `folder`, which is empty. The error names the entry; what was written by then stays for the caller to remove.
Result<FileTable> unpackLayer(ArchiveReader& tar, int folder, Budget& budget);

}  // namespace recap::image
