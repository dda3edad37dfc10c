// SPDX-License-Identifier: Apache-2.0
// view = "merged": one root of the image's layers over the target's files, with a copy-on-write layer of the capsule's own on top.
// The overlay is the launcher's, mounted in the host's user namespace: no extended attribute of the target's can redirect what it
// finds (userxattr allows neither redirect_dir nor metacopy; threat T19).
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"

namespace recap::launcher {

namespace {

// What of the target's would tell the image's dynamic loader to load other files than the image's. Here they are absent, but where
// the image has its own.
constexpr std::array kMasked{"etc/ld.so.preload", "etc/ld.so.cache", "etc/ld-musl-x86_64.path"};

// What the capsule has of its own, or in no form.
constexpr std::array<std::string_view, 7> kOwnTypes{"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs"};
constexpr std::array<std::string_view, 4> kOwnPlaces{"/proc", "/sys", "/dev", "/.recap"};

int makeMask(int workshop) {
    if (::mkdirat(workshop, "mask", 0755) != 0 || ::mkdirat(workshop, "mask/etc", 0755) != 0) return -1;
    for (const char* name : kMasked)  // an overlay's sign of absence
        if (::mknodat(workshop, (std::string("mask/") + name).c_str(), S_IFCHR, makedev(0, 0)) != 0) return -1;
    return 0;
}

// A folder that stands before one of the target's shows its own owner and mode: those of the target's.
int resemble(int workshop, const char* folder, const char* ours) {
    struct stat info {};
    const bool known = ::fstatat(workshop, folder, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
    if (!known) return 0;
    if (::fchownat(workshop, ours, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    return ::fchmodat(workshop, ours, info.st_mode & 07777, 0);
}

int attachBeneath(int workshop, const UniqueFd& tree, const std::string& name) {
    if (::mkdirat(workshop, name.c_str(), 0755) != 0) return -1;
    return ::move_mount(tree.get(), "", workshop, name.c_str(), MOVE_MOUNT_F_EMPTY_PATH);
}

// Foremost first, as overlayfs has it; all names are relative to the working directory, which is the workshop.
std::string overlayOptions(std::size_t layers) {
    std::string options = "lowerdir=";
    for (std::size_t i = layers; i-- > 0;) options += std::to_string(i) + ':';
    return options + "mask:target,upperdir=upper,workdir=work,userxattr,volatile,xino=off,index=off";
}

// The file system that the target's root is on is asked nothing before this says that no server would have to answer.
int checkBase(Attach& attach) {
    auto text = attach.prepared->procfs->readSelf("mountinfo", Procfs::kMaxMountinfo);
    errno = EIO;
    if (!text) return -1;
    for (const auto& mount : parseMountinfo(*text)) {
        if (mount.path != "/target") continue;
        attach.subject = "on " + mount.type;
        errno = EOPNOTSUPP;
        return isForeign(mount.type) || std::ranges::find(kOwnTypes, mount.type) != kOwnTypes.end() ? -1 : 0;
    }
    return -1;
}

// A tmpfs with everything that the overlay is made of. It lies over "/" until that is done: an overlay takes its layers only from
// mounts of the namespace that it is made in.
int fillWorkshop(Attach& attach, int workshop) {
    for (const char* name : {"upper", "work", "root"})
        if (::mkdirat(workshop, name, 0755) != 0) return -1;
    if (makeMask(workshop) != 0 || ::move_mount(workshop, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) return -1;
    for (std::size_t i = 0; i < attach.layers.size(); ++i)
        if (attachBeneath(workshop, attach.layers[i], std::to_string(i)) != 0) return -1;
    return attachBeneath(workshop, attach.base, "target");
}

bool isOwn(const MountLine& mount, std::string_view path) {
    const auto holds = [path](std::string_view place) { return isAtOrBelow(path, place); };
    return std::ranges::find(kOwnTypes, mount.type) != kOwnTypes.end() || std::ranges::any_of(kOwnPlaces, holds);
}

// Both places are found beneath what they belong to and meant from then on, whatever the target renames meanwhile.
int moveSubmount(int from, int root, const std::string& path) {
    const UniqueFd source(kernel::openat2(from, path.c_str() + 1, O_PATH, beneath()));
    const UniqueFd place(kernel::openat2(root, path.c_str() + 1, O_PATH, beneath()));
    if (!source || !place) return -1;
    const UniqueFd tree(::open_tree(source.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    return tree ? ::move_mount(tree.get(), "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) : -1;
}

}  // namespace

int cloneLayers(Attach& attach) {
    for (auto& layer : attach.layers) {
        layer.reset(::open_tree(layer.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        if (!layer) return -1;
    }
    return 0;
}

int mergeRoot(Attach& attach) {
    if (attach.plan.view != View::Merged) return 0;
    UniqueFd workshop(makeTmpfs(attach.plan.limits.scratch, "755", 0, 0));
    if (!workshop || fillWorkshop(attach, workshop.get()) != 0 || ::fchdir(workshop.get()) != 0) return -1;
    if (checkBase(attach) != 0) return -1;
    if (resemble(workshop.get(), "target", "upper") != 0 || resemble(workshop.get(), "target/etc", "mask/etc") != 0) return -1;
    // Fails with EINVAL where the target's root is an overlay on an overlay: the kernel stacks no third one.
    const unsigned long flags = weakened(Threat::OverlayTricks) ? 0 : MS_NOSUID | MS_NODEV;
    if (::mount("overlay", "root", "overlay", flags, overlayOptions(attach.layers.size()).c_str()) != 0) return -1;
    attach.root.reset(::open_tree(workshop.get(), "root", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    attach.upper.reset(::openat(workshop.get(), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!attach.root || !attach.upper || ::umount2(".", MNT_DETACH) != 0) return -1;
    attach.subject.clear();
    attach.layers.clear();
    attach.base.reset();
    return 0;
}

// Only the uppermost of each: with it comes what is mounted below it. Where the image has something else in its place, it is left
// out and named.
int mergeSubmounts(Attach& attach) {
    if (attach.plan.view != View::Merged) return 0;
    const std::string top(targetAt(attach.plan));
    auto mounts = shownMounts(attach);
    UniqueFd from(openMountpoint(attach.root.get(), top));
    errno = EIO;
    if (!mounts || !from) return -1;
    std::ranges::sort(*mounts, {}, [](const MountLine& mount) { return mount.path + '/'; });  // a folder, then what is in it
    std::string last;
    for (const auto& mount : *mounts) {
        const std::string path = mount.path.substr(top.size());
        if (path.empty() || (!last.empty() && isAtOrBelow(path, last)) || isOwn(mount, path)) continue;
        last = path;
        if (moveSubmount(from.get(), attach.root.get(), path) != 0) noteOmitted(attach, mount);
    }
    return ::umount2(top.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

}  // namespace recap::launcher
