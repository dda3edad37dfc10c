// SPDX-License-Identifier: Apache-2.0
#include "tests/support/wait.hpp"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace recap::test {

int Deadline::remainingMs() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(at_ - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(0, left));
}

UniqueFd openPidfd(pid_t pid) {
    UniqueFd fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!fd) throw std::runtime_error("pidfd_open " + std::to_string(pid) + ": " + std::strerror(errno));
    return fd;
}

int waitAny(std::initializer_list<int> fds, const Deadline& deadline) {
    std::vector<pollfd> all;
    for (const int fd : fds) all.push_back({fd, POLLIN, 0});
    for (;;) {
        const int ready = ::poll(all.data(), all.size(), deadline.remainingMs());
        if (ready < 0 && errno != EINTR) throw std::runtime_error(std::string("poll: ") + std::strerror(errno));
        if (ready > 0) return std::find_if(all.begin(), all.end(), [](const pollfd& one) { return one.revents != 0; })->fd;
        if (ready == 0 && deadline.passed()) return -1;
    }
}

bool waitReadable(int fd, const Deadline& deadline) { return waitAny({fd}, deadline) == fd; }

bool waitForExit(int pidfd, const Deadline& deadline) { return waitReadable(pidfd, deadline); }

bool waitForPath(const std::filesystem::path& path, const Deadline& deadline) {
    UniqueFd watch{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    if (!watch || ::inotify_add_watch(watch.get(), path.parent_path().c_str(), IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
        throw std::runtime_error("watch " + path.parent_path().string() + ": " + std::strerror(errno));
    std::array<char, 4096> events{};
    while (!std::filesystem::exists(path)) {
        if (!waitReadable(watch.get(), deadline)) return false;
        while (::read(watch.get(), events.data(), events.size()) > 0) {
        }
    }
    return true;
}

bool waitUntil(const std::function<bool()>& condition, const Deadline& deadline) {
    while (!condition()) {
        if (deadline.passed()) return false;
        ::poll(nullptr, 0, std::min(3, deadline.remainingMs()));
    }
    return true;
}

}  // namespace recap::test
