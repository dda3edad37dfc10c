// SPDX-License-Identifier: Apache-2.0
// Kernel interfaces that Debian 12's C library and headers lack or only half have. One line of reason each.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace recap::launcher::kernel {

// openat2(2): no wrapper in glibc 2.36.
inline int openat2(int dir, const char* path, std::uint64_t flags, std::uint64_t resolve, std::uint64_t mode = 0) {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.mode = mode;
    how.resolve = resolve;
    return static_cast<int>(::syscall(SYS_openat2, dir, path, &how, sizeof(how)));
}

// In a new child: no signal blocked (the supervisor reads its own from a descriptor) and none ignored, whatever started the
// launcher. clone3's CLONE_CLEAR_SIGHAND leaves ignored ones ignored.
inline void resetSignals() {
    for (int number = 1; number <= 64; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Whether this process now is who it was to become; errno is EPERM where not.
inline bool hasIdentity(uid_t uid, gid_t gid) {
    uid_t uids[3];
    gid_t gids[3];
    if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 || ::getresgid(&gids[0], &gids[1], &gids[2]) != 0) return false;
    bool same = true;
    for (int i = 0; i < 3; ++i) same = same && uids[i] == uid && gids[i] == gid;
    if (!same) errno = EPERM;
    return same;
}

// clone3(2) used as a fork: no stack, no shared memory.
inline pid_t clone3(clone_args& args) { return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof(args))); }

// pidfd_open(2) and pidfd_send_signal(2): glibc 2.36 declares them without C linkage, so that C++ cannot link them.
inline int openPidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
inline int signalPidfd(int pidfd, int number) { return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0)); }

inline int setKey(int context, const char* key, const char* value) { return ::fsconfig(context, FSCONFIG_SET_STRING, key, value, 0); }
inline int setFlag(int context, const char* key) { return ::fsconfig(context, FSCONFIG_SET_FLAG, key, nullptr, 0); }
inline int setFd(int context, const char* key, int fd) { return ::fsconfig(context, FSCONFIG_SET_FD, key, nullptr, fd); }

// fsconfig(CMD_CREATE) and fsmount(2) in one: the detached mount's descriptor, or -1.
inline int createMount(int context, unsigned attributes) {
    if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return -1;
    return ::fsmount(context, FSMOUNT_CLOEXEC, attributes);
}

}  // namespace recap::launcher::kernel
