// SPDX-License-Identifier: Apache-2.0
// The supervisor's loop: epoll with one handler a descriptor, and deadlines. Single-threaded. A handler may add and remove any
// descriptor, its own too; a removed one gets no more events, even those already fetched.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

class Loop {
public:
    using Handler = std::function<void(std::uint32_t events)>;
    using TimerId = std::uint64_t;

    Loop();
    bool ok() const { return static_cast<bool>(epoll_); }
    bool add(int fd, std::uint32_t events, Handler handler);  // EPOLLIN and the like; level-triggered
    void change(int fd, std::uint32_t events);
    void remove(int fd);  // before the descriptor is closed
    TimerId at(std::uint64_t monotonicUsec, std::function<void()> callback);
    void cancel(TimerId timer);
    void run();
    void stop() { stopped_ = true; }

private:
    struct Watch {
        int fd;
        Handler handler;
    };
    int untilNext() const;
    void runTimers();

    UniqueFd epoll_;
    std::map<int, std::shared_ptr<Watch>> watches_;
    std::map<std::pair<std::uint64_t, TimerId>, std::function<void()>> timers_;
    std::map<TimerId, std::uint64_t> timerTimes_;
    TimerId lastTimer_ = 0;
    bool stopped_ = false;
};

}  // namespace recap::launcher
