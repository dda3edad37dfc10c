// SPDX-License-Identifier: Apache-2.0
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

// In a child: a mount namespace that holds one empty, read-only tmpfs. pivot_root(2) is affordable here, once; per capsule it
// walks every thread of the host.
int becomeSeed() {
    if (::unshare(CLONE_NEWNS) != 0) return -1;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return -1;
    UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
    if (!context || kernel::setKey(context.get(), "size", "4k") != 0 || kernel::setKey(context.get(), "mode", "555") != 0) return -1;
    UniqueFd empty(kernel::createMount(context.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    if (!empty) return -1;
    if (::move_mount(empty.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) return -1;
    if (::fchdir(empty.get()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0) return -1;
    return ::umount2(".", MNT_DETACH);
}

}  // namespace

Result<UniqueFd> makeSeed(const Procfs& procfs) {
    int pair[2];
    if (::pipe2(pair, O_CLOEXEC) != 0) return failErrno("pipe");
    UniqueFd read(pair[0]);
    UniqueFd write(pair[1]);
    const pid_t child = ::fork();
    if (child < 0) return failErrno("fork");
    if (child == 0) {
        const int error = becomeSeed() == 0 ? 0 : errno;
        static_cast<void>(::write(write.get(), &error, sizeof(error)) + 1);
        ::pause();
        ::_exit(0);
    }
    int error = 0;
    const bool told = ::read(read.get(), &error, sizeof(error)) == sizeof(error);
    auto seed = procfs.open(child, "ns/mnt", O_RDONLY);
    ::kill(child, SIGKILL);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
    if (!told || error != 0) return failErrno("make the seed mount namespace", told ? error : EPIPE);
    return seed;
}

int enterSeed(Attach& attach) {
    if (::setns(attach.prepared->seed.get(), CLONE_NEWNS) != 0) return -1;
    return ::unshare(CLONE_NEWNS);
}

int enterRoot(Attach& attach) {
    if (::move_mount(attach.root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) return -1;
    // "/" of the seed is covered now; from here every path is looked up in the capsule's own root.
    if (::fchdir(attach.root.get()) != 0) return -1;
    return ::chroot(".");
}

namespace {

// Who enters a user namespace has every capability there, in the bounding set too.
int emptyBoundingSet() {
    for (cap_value_t value = 0; value < 64; ++value)
        if (::cap_get_bound(value) == 1 && ::cap_drop_bound(value) != 0) return -1;
    return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

}  // namespace

int joinNamespaces(Attach& attach) {
    int flags = 0;
    if ((attach.plan.namespaces & kNsNet) != 0) flags |= CLONE_NEWNET;
    if ((attach.plan.namespaces & kNsIpc) != 0) flags |= CLONE_NEWIPC;
    if ((attach.plan.namespaces & kNsUts) != 0) flags |= CLONE_NEWUTS;
    if ((attach.plan.namespaces & kNsTime) != 0) flags |= CLONE_NEWTIME;
    if ((attach.plan.namespaces & kNsUser) != 0) flags |= CLONE_NEWUSER;
    // Last comes what a joined user namespace would give no right for: names and groups are the host's.
    if ((attach.plan.namespaces & kNsUts) == 0 && ::sethostname("capsule", 7) != 0) return -1;
    if (::unshare(CLONE_NEWCGROUP) != 0) return -1;
    const bool joinsUsers = (flags & CLONE_NEWUSER) != 0;
    if (joinsUsers && ::setgroups(attach.plan.groups.size(), attach.plan.groups.data()) != 0) return -1;
    if (flags != 0 && ::setns(attach.target.get(), flags) != 0) return -1;
    return joinsUsers && !weakened(Threat::UserNamespaces) ? emptyBoundingSet() : 0;
}

int joinCgroupNamespace(Attach& attach) {
    constexpr std::size_t kCgroup = 5;
    if ((attach.plan.namespaces & kNsCgroup) == 0) return 0;
    struct stat info {};
    if (::setns(attach.target.get(), CLONE_NEWCGROUP) != 0) return -1;
    if (::fstatat(attach.prepared->procfs->fd(), "self/ns/cgroup", &info, 0) != 0) return -1;
    errno = ESTALE;
    return info.st_ino == attach.plan.expected[kCgroup] ? 0 : -1;
}

int verifyNamespaces(Attach& attach) {
    for (std::size_t i = 0; i < kNamespaces; ++i) {
        if ((attach.plan.namespaces >> i & 1) == 0 || (kNsCgroup >> i & 1) != 0) continue;  // the payload itself joins that one
        auto inode = attach.prepared->procfs->ownNamespaceInode(kNamespaceNames[i]);
        if (!inode || (*inode != attach.plan.expected[i] && !weakened(Threat::SwappedTarget))) {
            errno = ESTALE;  // the target went elsewhere between the check and the join
            return -1;
        }
    }
    return 0;
}

}  // namespace recap::launcher
