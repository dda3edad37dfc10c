// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/reaping.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <utility>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kRetryUsec = 100000;

struct Ending {
    pid_t child;
    UniqueFd held;
    UniqueFd pidfd;
    bool reaped() const { return ::waitpid(child, nullptr, WNOHANG) != 0; }  // or somebody else's by now
};

// Where no descriptor is to be had that would tell of its end.
void askLater(Loop& loop, const std::shared_ptr<Ending>& ending) {
    loop.at(monotonicUsec() + kRetryUsec, [&loop, ending] {
        if (!ending->reaped()) askLater(loop, ending);
    });
}

}  // namespace

void killAndReap(Loop& loop, pid_t child, UniqueFd held) {
    ::kill(child, SIGKILL);
    auto ending = std::make_shared<Ending>(Ending{child, std::move(held), UniqueFd(kernel::openPidfd(child))});
    pollfd ended{ending->pidfd.get(), POLLIN, 0};
    if (ending->pidfd) ::poll(&ended, 1, kReapNowMs);
    if (ending->reaped()) return;
    const bool watched = ending->pidfd && loop.add(ending->pidfd.get(), EPOLLIN, [&loop, ending](std::uint32_t) {
        loop.remove(ending->pidfd.get());
        if (!ending->reaped()) askLater(loop, ending);  // a tracer holds it
    });
    if (!watched) askLater(loop, ending);
}

}  // namespace recap::launcher
