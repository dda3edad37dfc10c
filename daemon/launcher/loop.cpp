// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/loop.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <vector>

#include "daemon/launcher/attach.hpp"

namespace recap::launcher {

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

bool Loop::add(int fd, std::uint32_t events, Handler handler) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return false;
    watches_[fd] = std::make_shared<Watch>(Watch{fd, std::move(handler)});
    return true;
}

void Loop::change(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Loop::remove(int fd) {
    if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Loop::TimerId Loop::at(std::uint64_t monotonic, std::function<void()> callback) {
    const TimerId id = ++lastTimer_;
    timers_[{monotonic, id}] = std::move(callback);
    timerTimes_[id] = monotonic;
    return id;
}

void Loop::cancel(TimerId timer) {
    const auto found = timerTimes_.find(timer);
    if (found == timerTimes_.end()) return;
    timers_.erase({found->second, timer});
    timerTimes_.erase(found);
}

int Loop::untilNext() const {
    if (timers_.empty()) return -1;
    const std::uint64_t now = monotonicUsec();
    const std::uint64_t due = timers_.begin()->first.first;
    return due <= now ? 0 : static_cast<int>(std::min<std::uint64_t>((due - now) / 1000 + 1, 3600000));
}

void Loop::runTimers() {
    while (!timers_.empty() && timers_.begin()->first.first <= monotonicUsec()) {
        auto node = timers_.extract(timers_.begin());
        timerTimes_.erase(node.key().second);
        node.mapped()();
    }
}

void Loop::run() {
    std::array<epoll_event, 64> events;
    while (!stopped_) {
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), untilNext());
        // What is watched now, so that a descriptor closed and reused by an earlier handler of this turn gets no stale event.
        std::vector<std::pair<std::shared_ptr<Watch>, std::uint32_t>> due;
        for (int i = 0; i < count; ++i) {
            const epoll_event event = events[static_cast<std::size_t>(i)];
            if (auto found = watches_.find(event.data.fd); found != watches_.end())
                due.emplace_back(found->second, std::uint32_t{event.events});
        }
        for (auto& [watch, what] : due) {
            const auto found = watches_.find(watch->fd);
            if (found != watches_.end() && found->second == watch) watch->handler(what);
        }
        runTimers();
    }
}

}  // namespace recap::launcher
