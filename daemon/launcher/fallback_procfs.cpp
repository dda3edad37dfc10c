// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/fallback_procfs.hpp"

#include <linux/audit.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/transport.hpp"

namespace recap::launcher {

namespace {

constexpr int kPatience = 500;  // ms, for two clones and a call
constexpr int kSocket = 3;
constexpr unsigned long kEmissaryFlags = CLONE_PARENT | CLONE_PIDFD | SIGCHLD;
constexpr char kEmissary = 'e', kContext = 'c';

// Without memory of its own: under the filter.
void pass(char kind, int fd) {
    iovec data{&kind, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{nullptr, 0, &data, 1, control, sizeof(control), 0};
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    static_cast<void>(::sendmsg(kSocket, &message, MSG_NOSIGNAL));
}

int keepSysAdmin() {
    cap_t one = ::cap_init();
    const cap_value_t value = CAP_SYS_ADMIN;
    if (one == nullptr || ::cap_set_flag(one, CAP_PERMITTED, 1, &value, CAP_SET) != 0) return -1;
    if (::cap_set_flag(one, CAP_EFFECTIVE, 1, &value, CAP_SET) != 0) return -1;
    return ::cap_set_proc(one);
}

int confine() {
    const sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 10, AUDIT_ARCH_X86_64},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 9, 0, SYS_fsopen},
        {BPF_JMP | BPF_JEQ | BPF_K, 8, 0, SYS_sendmsg},
        {BPF_JMP | BPF_JEQ | BPF_K, 7, 0, SYS_exit_group},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, SYS_prctl},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, args)},
        {BPF_JMP | BPF_JEQ | BPF_K, 4, 3, PR_SET_PDEATHSIG},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, SYS_clone},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, args)},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, static_cast<std::uint32_t>(kEmissaryFlags)},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return loadFilter({std::begin(filter), std::end(filter)});
}

// Makes itself what the emissary is to be, still in the launcher's pid namespace, and then that one, which is the worker's own
// child: its end leaves nothing to the target's PID 1.
[[noreturn]] void prepareAndSend(const Prepared& prepared, int pidNamespace, int socket) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::setns(prepared.seed.get(), CLONE_NEWNS) != 0 || ::setns(pidNamespace, CLONE_NEWPID) != 0) ::_exit(1);
    if (::dup2(socket, kSocket) < 0 || ::close_range(0, kSocket - 1, 0) != 0 || ::close_range(kSocket + 1, ~0u, 0) != 0) ::_exit(1);
    if (keepSysAdmin() != 0 || confine() != 0) ::_exit(1);
    int pidfd = -1;
    const long emissary = ::syscall(SYS_clone, kEmissaryFlags, nullptr, &pidfd, nullptr, 0);
    if (emissary == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // should the target stop it, and the worker die meanwhile
        const int context = ::fsopen("proc", FSOPEN_CLOEXEC);
        if (context >= 0) pass(kContext, context);
        ::_exit(context >= 0 ? 0 : 1);
    }
    if (emissary > 0) pass(kEmissary, pidfd);
    ::_exit(emissary > 0 ? 0 : 1);
}

// Both messages, in whichever order they come; what is missing stays empty.
struct News {
    UniqueFd emissary, context;
};
News listen(int socket) {
    News news;
    const std::uint64_t until = monotonicUsec() + kPatience * 1000ull;
    errno = 0;
    while (!news.emissary || !news.context) {
        const std::uint64_t now = monotonicUsec();
        pollfd waiting{socket, POLLIN, 0};
        if (now >= until || ::poll(&waiting, 1, static_cast<int>((until - now) / 1000) + 1) == 0) {
            errno = ETIMEDOUT;
            break;
        }
        auto message = receiveMessage(socket);
        if (!message || message->bytes.size() != 1 || message->fds.size() != 1) {
            errno = ECHILD;  // both have ended
            break;
        }
        (message->bytes[0] == kContext ? news.context : news.emissary) = std::move(message->fds[0]);
    }
    return news;
}

// A tracer in the target may keep it from being reaped; then the next call does. The caller has no other children that end.
void reap(const UniqueFd& emissary) {
    if (emissary) {
        kernel::signalPidfd(emissary.get(), SIGKILL);
        pollfd end{emissary.get(), POLLIN, 0};
        ::poll(&end, 1, kPatience);
    }
    while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) continue;
}

}  // namespace

UniqueFd openProcOf(const Prepared& prepared, int pidNamespace) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return {};
    UniqueFd ours(pair[0]), theirs(pair[1]);
    const pid_t preparer = ::fork();
    if (preparer < 0) return {};
    if (preparer == 0) prepareAndSend(prepared, pidNamespace, theirs.get());
    theirs.reset();
    News news = listen(ours.get());
    const int error = errno;
    ::kill(preparer, SIGKILL);  // in no namespace of the target's: it can be waited for
    while (::waitpid(preparer, nullptr, 0) < 0 && errno == EINTR) continue;
    // Only now is the emissary's number sure to have come, if there is one.
    if (!news.emissary)
        if (auto message = receiveMessage(ours.get());
            message && message->bytes == std::string_view(&kEmissary, 1) && !message->fds.empty())
            news.emissary = std::move(message->fds[0]);
    reap(news.emissary);
    errno = error;
    return std::move(news.context);
}

bool isProcfs(int mount) {
    struct statfs status {};
    if (::fstatfs(mount, &status) == 0 && status.f_type == PROC_SUPER_MAGIC) return true;
    errno = EPERM;
    return false;
}

}  // namespace recap::launcher
