// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/process_ends.hpp"

#include <sys/epoll.h>

#include <cerrno>

namespace recap {

ProcessEnds::ProcessEnds(sd_event* loop, OnEnd onEnd) : onEnd_(std::move(onEnd)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
        error_ = errno;
        return;
    }
    sd_event_source* source = nullptr;
    if (const int error = sd_event_add_io(loop, &source, epoll_.get(), EPOLLIN, onReady, this); error < 0) error_ = -error;
    source_.reset(source);
}

Result<ProcessEnds::Watch> ProcessEnds::watch(const UniqueFd& pidfd, void* who) const {
    if (error_ != 0) return failErrno("watch processes", error_);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.ptr = who;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd.get(), &wanted) != 0)
        return errno == EEXIST ? fail(Errc::AlreadyExists, "that pidfd is watched") : failErrno("watch a pidfd");
    return Watch(epoll_.get(), pidfd.get());
}

// One at a time: who hears of it may end the watches of others.
int ProcessEnds::onReady(sd_event_source*, int fd, std::uint32_t, void* self) {
    epoll_event event{};
    if (::epoll_wait(fd, &event, 1, 0) == 1) static_cast<ProcessEnds*>(self)->onEnd_(event.data.ptr);
    return 0;
}

void ProcessEnds::Watch::reset() noexcept {
    if (pidfd_ >= 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, pidfd_, nullptr);
    pidfd_ = -1;
}

}  // namespace recap
