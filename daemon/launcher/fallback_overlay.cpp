// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/fallback_overlay.hpp"

#include <sched.h>
#include <sys/stat.h>

#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kBenchSize = 64 << 10;  // three folders

// In a copy of the seed: a file system with a place for each thing, and the layers in theirs.
int furnish(const Prepared& prepared, int tree) {
    UniqueFd bench(makeTmpfs(kBenchSize, "700", 0, 0));
    if (!bench || ::setns(prepared.seed.get(), CLONE_NEWNS) != 0 || ::unshare(CLONE_NEWNS) != 0) return -1;
    for (const char* place : {"layers", "upper", "root"})
        if (::mkdirat(bench.get(), place, 0700) != 0) return -1;
    if (::move_mount(bench.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) return -1;
    return ::move_mount(tree, "", bench.get(), "layers", MOVE_MOUNT_F_EMPTY_PATH);
}

}  // namespace

Result<Workshop> Workshop::make(const Prepared& prepared, int layers) {
    Workshop shop;
    shop.prepared_ = &prepared;
    UniqueFd tree(::open_tree(layers, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!tree) return failErrno("clone the folder of layers");
    if (furnish(prepared, tree.get()) == 0) {
        shop.mounts_.reset(::openat(prepared.procfs->fd(), "self/ns/mnt", O_RDONLY | O_CLOEXEC));
        // Into it once more: it is its uppermost mount that a path begins at.
        if (shop.mounts_ && ::setns(shop.mounts_.get(), CLONE_NEWNS) == 0)
            shop.layers_.reset(::open("/layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        shop.descriptors_.reset(::openat(prepared.procfs->fd(), "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    const int error = errno;
    if (::setns(prepared.ownMounts.get(), CLONE_NEWNS) != 0) ::_exit(1);
    if (!shop.layers_ || !shop.descriptors_) return failErrno("make the workshop", error);
    return shop;
}

UniqueFd Workshop::mountOverlay(std::span<const UniqueFd> layers, int upper) const {
    // A name of 64 digits would leave room for 60 layers; a descriptor's number has two or three.
    std::string options = "userxattr,volatile,xino=off,index=off,upperdir=/upper/upper,workdir=/upper/work,lowerdir=";
    for (std::size_t i = layers.size(); i-- > 0;) options += std::to_string(layers[i].get()) + (i == 0 ? "" : ":");
    if (::setns(mounts_.get(), CLONE_NEWNS) != 0) return {};
    const unsigned long flags = weakened(Threat::OverlayTricks) ? 0 : MS_NOSUID | MS_NODEV;
    UniqueFd root;
    if (::move_mount(upper, "", AT_FDCWD, "/upper", MOVE_MOUNT_F_EMPTY_PATH) == 0) {
        if (::fchdir(descriptors_.get()) == 0 && ::mount("overlay", "/root", "overlay", flags, options.c_str()) == 0) {
            root.reset(::open_tree(AT_FDCWD, "/root", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
            if (::umount2("/root", MNT_DETACH) != 0) root.reset();
        }
        const int error = errno;
        if (::umount2("/upper", MNT_DETACH) != 0) ::_exit(1);  // the next root must not find this one's files
        errno = error;
    }
    const int error = errno;
    if (::setns(prepared_->ownMounts.get(), CLONE_NEWNS) != 0) ::_exit(1);
    errno = error;
    return root;
}

}  // namespace recap::launcher
