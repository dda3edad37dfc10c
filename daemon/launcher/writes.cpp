// SPDX-License-Identifier: Apache-2.0
// view = "write": of the target's files, at /target, only the listed paths can be written, and what is below them; where the target
// itself could not, the capsule can't either.
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"

namespace recap::launcher {

namespace {

struct Writable {
    UniqueFd place;  // in the tree that becomes read-only
    UniqueFd tree;   // the same, detached, with the flags that the target's mounts have
};

// The target makes names as it likes meanwhile: what is found once is meant from then on, and no link is followed. By now FUSE and
// network mounts are gone from the tree, so that no lookup waits for a server.
tl::expected<Writable, int> openWritable(int target, const std::string& path) {
    Writable found;
    found.place.reset(kernel::openat2(target, path.c_str() + 1, O_PATH, beneath()));
    struct stat info {};
    struct statfs mount {};
    if (!found.place || ::fstat(found.place.get(), &info) != 0 || ::fstatfs(found.place.get(), &mount) != 0) return tl::unexpected(errno);
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return tl::unexpected(EINVAL);
    if ((mount.f_flags & ST_RDONLY) != 0) return tl::unexpected(EROFS);
    found.tree.reset(::open_tree(found.place.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    if (!found.tree) return tl::unexpected(errno);
    return found;
}

}  // namespace

// Nothing is ever made writable here: the clones keep what the target's mounts are, and the rest becomes read-only.
int allowWrites(Attach& attach) {
    if (attach.plan.view != View::Write) return 0;
    UniqueFd target(openMountpoint(attach.root.get(), "/target"));
    if (!target) return -1;
    std::vector<Writable> writables;
    for (const auto& path : attach.plan.writes) {
        auto found = openWritable(target.get(), path);
        if (!found) {
            attach.subject = path;
            errno = found.error();
            return -1;
        }
        writables.push_back(std::move(*found));
    }
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    if (::mount_setattr(target.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) != 0) return -1;
    for (const auto& [place, tree] : writables)
        if (::move_mount(tree.get(), "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) return -1;
    return 0;
}

}  // namespace recap::launcher
