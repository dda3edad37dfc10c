// SPDX-License-Identifier: Apache-2.0
// The capsule's root and what is shown in it. Mount objects come from descriptors (new mount API); a path is only ever looked up
// in the capsule's own root, after the chroot, and never through a symbolic link.
#include <elf.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
constexpr unsigned kNodesPerMegabyte = 256;

// A tmpfs of its own gives a size limit, and dies with its last user.
int makeTmpfs(std::uint64_t size, const char* mode, std::uint32_t uid, std::uint32_t gid) {
    UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (!context) return -1;
    const std::uint64_t nodes = std::max<std::uint64_t>(1024, (size >> 20) * kNodesPerMegabyte);
    const int fd = context.get();
    if (kernel::setKey(fd, "size", std::to_string(size).c_str()) != 0 || kernel::setKey(fd, "nr_inodes", std::to_string(nodes).c_str()) != 0 ||
        kernel::setKey(fd, "mode", mode) != 0 || kernel::setKey(fd, "uid", std::to_string(uid).c_str()) != 0 ||
        kernel::setKey(fd, "gid", std::to_string(gid).c_str()) != 0)
        return -1;
    return kernel::createMount(fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

// Opens a folder below the capsule's root, making what is missing (in the copy-on-write layer). A symbolic link in its way, or
// anything else that is no folder, is the image's doing and fails.
int openMountpoint(int root, const std::string& path) {
    UniqueFd at(::openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    std::size_t begin = 1;
    while (at && begin < path.size()) {
        const auto end = std::min(path.find('/', begin), path.size());
        const std::string part = path.substr(begin, end - begin);
        if (::mkdirat(at.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return -1;
        at.reset(kernel::openat2(at.get(), part.c_str(), O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
        begin = end + 1;
    }
    return at.release();
}

int attachAt(Attach& attach, int mount, const std::string& path) {
    UniqueFd point(openMountpoint(attach.root.get(), path));
    if (!point) return -1;
    return ::move_mount(mount, "", point.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// The capsule's own procfs: with processes = "none" only what belongs to processes.
int ownProc() {
    UniqueFd context(::fsopen("proc", FSOPEN_CLOEXEC));
    if (!context || kernel::setKey(context.get(), "subset", "pid") != 0) return -1;
    return kernel::createMount(context.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

// The target's procfs has no process of the capsule, so that its "self" leads nowhere, and with it /dev/fd and /dev/stdout. The
// capsule's own procfs stands aside, and links to it lie over the two names.
int showSelf(Attach& attach, int proc) {
    UniqueFd own(ownProc());
    if (!own || attachAt(attach, own.get(), "/.recap/proc") != 0) return -1;
    UniqueFd aside(openMountpoint(attach.root.get(), "/.recap"));
    if (!aside) return -1;
    for (const char* name : {"self", "thread-self"}) {
        if (::symlinkat((std::string("/.recap/proc/") + name).c_str(), aside.get(), name) != 0) return -1;
        UniqueFd link(::open_tree(aside.get(), name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
        if (!link || ::move_mount(link.get(), "", proc, name, MOVE_MOUNT_F_EMPTY_PATH) != 0) return -1;
    }
    return 0;
}

}  // namespace

int cloneTarget(Attach& attach) {
    if (attach.plan.view == View::None) return 0;
    // A tree can be cloned only from inside its own mount namespace.
    if (::setns(attach.target.get(), CLONE_NEWNS) != 0) return -1;
    attach.tree.reset(::open_tree(attach.targetRoot.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    const int error = errno;
    if (::setns(attach.prepared->ownMounts.get(), CLONE_NEWNS) != 0) return -1;
    errno = error;
    if (!attach.tree) return -1;
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    attributes.propagation = MS_PRIVATE;
    return ::mount_setattr(attach.tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes));
}

int mountRoot(Attach& attach) {
    UniqueFd upper(makeTmpfs(attach.plan.limits.scratch, "755", 0, 0));
    if (!upper) return -1;
    if (::mkdirat(upper.get(), "upper", 0755) != 0 || ::mkdirat(upper.get(), "work", 0700) != 0) return -1;
    UniqueFd upperDir(::openat(upper.get(), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd workDir(::openat(upper.get(), "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd context(::fsopen("overlay", FSOPEN_CLOEXEC));
    if (!upperDir || !workDir || !context) return -1;
    const int fd = context.get();
    for (std::size_t i = attach.layers.size(); i-- > 0;)  // overlay wants the uppermost first
        if (kernel::setFd(fd, "lowerdir+", attach.layers[i].get()) != 0) return -1;
    if (kernel::setFd(fd, "upperdir", upperDir.get()) != 0 || kernel::setFd(fd, "workdir", workDir.get()) != 0) return -1;
    if (kernel::setFlag(fd, "userxattr") != 0 || kernel::setFlag(fd, "volatile") != 0) return -1;
    if (kernel::setKey(fd, "xino", "off") != 0 || kernel::setKey(fd, "index", "off") != 0) return -1;
    attach.root.reset(kernel::createMount(fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    return attach.root ? 0 : -1;
}

int mountArtifacts(Attach& attach) {
    if (attach.plan.artifacts.empty()) return 0;
    attach.artifacts.reset(makeTmpfs(attach.plan.artifactsMax, "700", attach.plan.uid, attach.plan.gid));
    return attach.artifacts ? 0 : -1;
}

int populateRoot(Attach& attach) {
    const bool observing = static_cast<bool>(attach.proc);
    UniqueFd proc(observing ? attach.proc.release() : ownProc());
    if (!proc || attachAt(attach, proc.get(), "/proc") != 0) return -1;
    if (observing && showSelf(attach, proc.get()) != 0) return -1;
    if (attachAt(attach, attach.devices.get(), "/dev") != 0) return -1;
    if (attach.tree && attachAt(attach, attach.tree.get(), "/target") != 0) return -1;
    if (attach.artifacts && attachAt(attach, attach.artifacts.get(), attach.plan.artifacts) != 0) return -1;
    return 0;
}

// FUSE and network mounts are answered by a server that may not answer: no path of the view may cross one. They are found in the
// capsule's own, private table, where the target can add none, and taken off without asking them (threat T16). So is a procfs: its
// links to the target's root would be a way around "read-only".
int omitForeign(Attach& attach) {
    if (attach.plan.view == View::None) return 0;
    auto text = attach.prepared->procfs->readSelf("mountinfo", 8 << 20);
    if (!text) {
        errno = EIO;
        return -1;
    }
    for (const auto& mount : parseMountinfo(*text)) {
        const bool shown = mount.path == "/target" || mount.path.starts_with("/target/");
        if (!shown || !(isForeign(mount.type) || mount.type == "proc")) continue;
        // One below another that is gone already is gone with it.
        if (::umount2(mount.path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT) return -1;
        if (mount.type != "proc") attach.omitted.push_back(mount.type + " " + (mount.path == "/target" ? "/" : mount.path.substr(7)));
    }
    return 0;
}

int openExecutable(Attach& attach) {
    UniqueFd file(kernel::openat2(attach.root.get(), attach.plan.executable.c_str() + 1, O_RDONLY | O_NONBLOCK | O_NOCTTY, kInRoot));
    if (!file) return -1;
    struct stat info{};
    Elf64_Ehdr head{};
    if (::fstat(file.get(), &info) != 0) return -1;
    errno = ENOEXEC;  // scripts too: an interpreter line would name another file (threat T4)
    if (!S_ISREG(info.st_mode) || ::pread(file.get(), &head, sizeof(head), 0) != static_cast<ssize_t>(sizeof(head))) return -1;
    if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != EM_X86_64) return -1;
    attach.executable = std::move(file);
    return 0;
}

int openWorkdir(Attach& attach) {
    attach.workdir.reset(kernel::openat2(attach.root.get(), attach.plan.workdir == "/" ? "." : attach.plan.workdir.c_str() + 1,
                                         O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
    return attach.workdir ? 0 : -1;
}

}  // namespace recap::launcher
