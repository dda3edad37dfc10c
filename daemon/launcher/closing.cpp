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

// More than so many that hang at once: their files stay open, and count against RLIMIT_NOFILE.
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
    std::vector<int> files;
    for (auto& fd : fds)
        if (isFile(fd)) files.push_back(fd.release());
    std::erase_if(fds, [](const UniqueFd& fd) { return !fd; });
    const std::size_t count = files.size();
    if (count != 0) closeAside(std::move(files));
    return count;
}

void Closing::closeAside(std::vector<int> fds) {
    if (children_.size() >= kMost) return;
    clone_args args{};
    int pidfd = -1;
    args.flags = CLONE_FILES | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    const pid_t child = kernel::clone3(args);
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        ::prctl(PR_SET_NAME, "recap-close", 0, 0, 0);
        for (const int fd : fds) ::close(fd);
        ::_exit(0);
    }
    if (child < 0) return;
    children_.emplace_back(pidfd);
    loop_.add(pidfd, EPOLLIN, [this, pidfd](std::uint32_t) {
        siginfo_t info{};
        ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
        loop_.remove(pidfd);
        std::erase_if(children_, [pidfd](const UniqueFd& one) { return one.get() == pidfd; });
    });
}

}  // namespace recap::launcher
