// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/closing.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

// Where so many hang at once the next files wait, open, and count against RLIMIT_NOFILE.
constexpr std::size_t kMost = 64;

bool isFile(const UniqueFd& fd) {
    struct statx info {};  // asks no server what kind it is
    const bool known = ::statx(fd.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &info) == 0;
    return !known || S_ISREG(info.stx_mode);
}

}  // namespace

Closing::~Closing() {
    for (const auto& child : children_) loop_.remove(child.get());
}

std::size_t Closing::takeFiles(std::vector<UniqueFd>& fds) {
    const auto count = static_cast<std::size_t>(std::ranges::count_if(fds, [this](UniqueFd& fd) {
        const bool file = isFile(fd);
        if (file) waiting_.push_back(fd.release());
        return file;
    }));
    std::erase_if(fds, [](const UniqueFd& fd) { return !fd; });
    closeWaiting();
    return count;
}

// Where there is no process to be had, the next file or the next child's end is the time to try again.
void Closing::closeWaiting() {
    if (waiting_.empty() || children_.size() >= kMost) return;
    clone_args args{};
    int pidfd = -1;
    args.flags = CLONE_FILES | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    const pid_t child = kernel::clone3(args);
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        ::prctl(PR_SET_NAME, "recap-close", 0, 0, 0);
        for (const int fd : waiting_) ::close(fd);
        ::_exit(0);
    }
    if (child < 0) return;
    waiting_.clear();
    children_.emplace_back(pidfd);
    loop_.add(pidfd, EPOLLIN, [this, pidfd](std::uint32_t) {
        siginfo_t info{};
        ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
        loop_.remove(pidfd);
        std::erase_if(children_, [pidfd](const UniqueFd& one) { return one.get() == pidfd; });
        closeWaiting();
    });
}

}  // namespace recap::launcher
