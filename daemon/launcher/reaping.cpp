// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/reaping.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>

#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

void killAndReap(Loop& loop, pid_t child) {
    ::kill(child, SIGKILL);
    auto pidfd = std::make_shared<UniqueFd>(kernel::openPidfd(child));
    const auto reap = [child] { ::waitpid(child, nullptr, WNOHANG); };
    pollfd ended{pidfd->get(), POLLIN, 0};
    if (!*pidfd || ::poll(&ended, 1, kReapNowMs) == 1) return reap();
    loop.add(pidfd->get(), EPOLLIN, [&loop, pidfd, reap](std::uint32_t) {
        reap();
        loop.remove(pidfd->get());
    });
}

}  // namespace recap::launcher
