// SPDX-License-Identifier: Apache-2.0
// The capsule's root and what is shown in it. Mount objects come from descriptors (new mount API); a path is only ever looked up
// in the capsule's own root, after the chroot, and never through a symbolic link.
#include <elf.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

int attachAt(Attach& attach, int mount, const std::string& path) {
    UniqueFd point(openMountpoint(attach.root.get(), path));
    if (!point) return -1;
    return ::move_mount(mount, "", point.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// A procfs of this process's pid namespace; where that is the capsule's own, only what belongs to processes.
int ownProc(bool whole = false) {
    UniqueFd context(::fsopen("proc", FSOPEN_CLOEXEC));
    if (!context || (!whole && kernel::setKey(context.get(), "subset", "pid") != 0)) return -1;
    return kernel::createMount(context.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

// The target's procfs has no process of the capsule, so that its "self" leads nowhere, and with it /dev/fd and /dev/stdout. The
// capsule's own procfs stands aside, and links to it lie over the two names.
int showSelf(Attach& attach, int proc) {
    UniqueFd own(ownProc());
    if (!own || attachAt(attach, own.get(), "/.recap/proc") != 0) return -1;
    UniqueFd aside(openMountpoint(attach.root.get(), "/.recap"));
    if (!aside) return -1;
    for (const char* name : kSelfLinks) {
        if (::symlinkat((std::string("/.recap/proc/") + name).c_str(), aside.get(), name) != 0 && errno != EEXIST) return -1;
        UniqueFd link(::open_tree(aside.get(), name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
        if (!link || ::move_mount(link.get(), "", proc, name, MOVE_MOUNT_F_EMPTY_PATH) != 0) return -1;
    }
    return 0;
}

UniqueFd cloneOf(const UniqueFd& root, unsigned recursive) {
    return UniqueFd(::open_tree(root.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
}

int restrict(const UniqueFd& tree, bool readOnly) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (readOnly) attributes.attr_set |= MOUNT_ATTR_RDONLY;
    attributes.propagation = MS_PRIVATE;
    return ::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes));
}

// Among the target's processes /proc/1/root leads to its files, and ".." from there up to the root of its mount namespace: the kernel
// stops at the walker's own root only. Above a chroot is what the target itself does not reach.
bool isTop(const UniqueFd& root) {
    const UniqueFd top(::open("/", O_PATH | O_CLOEXEC));  // setns(2) has made it the uppermost of the namespace's
    constexpr unsigned kWanted = STATX_INO | STATX_MNT_ID;
    struct statx ours {};
    struct statx theirs {};
    if (::statx(top.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kWanted, &ours) != 0) return false;
    if (::statx(root.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, kWanted, &theirs) != 0) return false;
    // All subvolumes have the same inode for a root, and each a device of its own.
    const bool device = ours.stx_dev_major == theirs.stx_dev_major && ours.stx_dev_minor == theirs.stx_dev_minor;
    return device && ours.stx_ino == theirs.stx_ino && ours.stx_mnt_id == theirs.stx_mnt_id;
}

}  // namespace

int cloneTarget(Attach& attach) {
    const bool shows = attach.plan.view != View::None, joins = attach.plan.processes == Processes::Join;
    if (!shows && !joins) return 0;
    // A tree can be cloned only from inside its own mount namespace.
    if (::setns(attach.target.get(), CLONE_NEWNS) != 0) return -1;
    if (auto joined = attach.prepared->procfs->ownNamespaceInode("mnt"); !joined || *joined != attach.plan.expected[kNamespaces - 1]) {
        errno = ESTALE;  // the target went elsewhere between the check and the join
        return -1;
    }
    if (joins && !isTop(attach.targetRoot)) {
        attach.subject = "are in a chroot, which joining its processes leads out of";
        errno = EPERM;
        return -1;
    }
    const bool merged = attach.plan.view == View::Merged;
    if (shows) attach.tree = cloneOf(attach.targetRoot, AT_RECURSIVE);
    if (merged && attach.tree) attach.base = cloneOf(attach.targetRoot, 0);
    const int error = errno;
    if (::setns(attach.prepared->ownMounts.get(), CLONE_NEWNS) != 0) return -1;
    errno = error;
    if (!shows) return 0;
    if (!attach.tree || (merged && !attach.base)) return -1;
    const bool readOnly = attach.plan.view != View::Write;  // there allowWrites() makes it so later
    if (restrict(attach.tree, readOnly) != 0) return -1;
    return merged ? restrict(attach.base, true) : 0;
}

// Looked at once more: what came since the worker looked can see this process by now.
int mountProcesses(Attach& attach) {
    if (attach.plan.processes != Processes::Join) return 0;
    attach.proc.reset(ownProc(true));
    if (weakened(Threat::TracingTarget)) return attach.proc ? 0 : -1;
    const auto joined = attach.prepared->procfs->ownNamespaceInode("pid");
    return attach.proc && joined ? refuseTracers(*attach.prepared, *joined, attach.pidNamespaces, attach.proc.get()) : -1;
}

int mountArtifacts(Attach& attach) {
    if (attach.plan.artifacts.empty()) return 0;
    attach.artifacts.reset(makeTmpfs(attach.plan.artifactsMax, "700", attach.plan.uid, attach.plan.gid));
    return attach.artifacts ? 0 : -1;
}

int showTarget(Attach& attach) {
    return attach.plan.view == View::None ? 0 : attachAt(attach, attach.tree.get(), std::string(targetAt(attach.plan)));
}

int populateRoot(Attach& attach) {
    const bool observing = attach.plan.processes == Processes::Observe;
    UniqueFd proc(attach.proc ? attach.proc.release() : ownProc());
    if (!proc || attachAt(attach, proc.get(), "/proc") != 0) return -1;
    if (observing && showSelf(attach, proc.get()) != 0) return -1;
    if (attachAt(attach, attach.devices.get(), "/dev") != 0 || mountTerminal(attach) != 0) return -1;
    if (attach.plan.processes != Processes::None && maskProc(attach, proc.get()) != 0) return -1;
    if (attach.artifacts && attachAt(attach, attach.artifacts.get(), attach.plan.artifacts) != 0) return -1;
    return 0;
}

namespace {

bool isHidden(const MountLine& mount) { return isForeign(mount.type) || mount.type == "proc"; }

}  // namespace

Result<std::vector<MountLine>> shownMounts(const Attach& attach) {
    auto text = attach.prepared->procfs->readSelf("mountinfo", Procfs::kMaxMountinfo);
    if (!text) return forward(std::move(text));
    auto mounts = parseMountinfo(*text);
    const std::string_view top = targetAt(attach.plan);
    std::erase_if(mounts, [top](const MountLine& mount) {
        return !mount.path.starts_with(top) || (mount.path.size() > top.size() && mount.path[top.size()] != '/');
    });
    return mounts;
}

void noteOmitted(Attach& attach, const MountLine& mount) {
    constexpr std::size_t kMostBytes = 256;
    auto& omitted = attach.omitted;
    if (omitted.size() == kMostNoted) omitted.emplace_back("and more");
    if (omitted.size() > kMostNoted) return;
    const std::string path = mount.path.substr(targetAt(attach.plan).size());
    omitted.push_back((mount.type + " " + (path.empty() ? "/" : path)).substr(0, kMostBytes));
}

// FUSE and network mounts are answered by a server that may not answer: no path of the view may cross one. They are found in the
// capsule's own, private table, where the target can add none, and taken off without asking them (threat T16). So is a procfs: its
// links to the target's root would be a way around "read-only". A path names the uppermost of several mounts on one place, and its
// folders may be renamed by the target meanwhile: so stacks with one of these are refused, and at the end none may be there.
int omitForeign(Attach& attach) {
    if (attach.plan.view == View::None || weakened(Threat::HangingMounts)) return 0;
    auto mounts = shownMounts(attach);
    errno = EIO;
    if (!mounts) return -1;
    std::set<std::string> places, hidden, stacked;
    for (const auto& mount : *mounts) {
        if (!places.insert(mount.path).second) stacked.insert(mount.path);
        if (isHidden(mount)) hidden.insert(mount.path);
    }
    errno = EBUSY;
    if (std::ranges::any_of(stacked, [&](const std::string& path) { return hidden.contains(path); })) return -1;
    for (const auto& mount : *mounts) {
        if (!isHidden(mount)) continue;
        // One below another that is gone already is gone with it.
        if (::umount2(mount.path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) return -1;
        if (mount.type != "proc") noteOmitted(attach, mount);
    }
    mounts = hidden.empty() ? std::move(mounts) : shownMounts(attach);
    errno = EBUSY;
    return mounts && (hidden.empty() || std::ranges::none_of(*mounts, isHidden)) ? 0 : -1;
}

int openExecutable(Attach& attach) {
    UniqueFd file(kernel::openat2(attach.root.get(), attach.plan.executable.c_str() + 1, O_RDONLY | O_NONBLOCK | O_NOCTTY, kInRoot));
    if (!file) return -1;
    struct stat info {};
    Elf64_Ehdr head{};
    if (::fstat(file.get(), &info) != 0) return -1;
    if (weakened(Threat::OwnProgram)) {
        ::fcntl(file.get(), F_SETFD, 0);  // or the kernel would refuse the script by itself
        attach.executable = std::move(file);
        return 0;
    }
    errno = ENOEXEC;  // scripts too: an interpreter line would name another file (threat T4)
    if (!S_ISREG(info.st_mode) || ::pread(file.get(), &head, sizeof(head), 0) != static_cast<ssize_t>(sizeof(head))) return -1;
    if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != EM_X86_64) return -1;
    attach.executable = std::move(file);
    return 0;
}

int openWorkdir(Attach& attach) {
    if (weakened(Threat::LeakedDescriptors)) {
        attach.workdir.reset(::open(attach.plan.workdir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        return attach.workdir ? 0 : -1;
    }
    attach.workdir.reset(kernel::openat2(attach.root.get(), attach.plan.workdir == "/" ? "." : attach.plan.workdir.c_str() + 1,
                                         O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
    return attach.workdir ? 0 : -1;
}

}  // namespace recap::launcher
