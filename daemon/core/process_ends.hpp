// SPDX-License-Identifier: Apache-2.0
// Hears of processes that end, by their pidfds, over one source of the loop: one for each would take 300 bytes of every target.
#pragma once

#include <functional>
#include <utility>

#include "daemon/core/event.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

class ProcessEnds {
public:
    using OnEnd = std::function<void(void* who)>;

    // Watches from its making to its end, which must come before the pidfd is closed and before ProcessEnds goes.
    class Watch {
    public:
        Watch() = default;
        Watch(int epoll, int pidfd) : epoll_(epoll), pidfd_(pidfd) {}
        Watch(Watch&& other) noexcept : epoll_(other.epoll_), pidfd_(std::exchange(other.pidfd_, -1)) {}
        Watch& operator=(Watch&& other) noexcept {
            std::swap(epoll_, other.epoll_);
            std::swap(pidfd_, other.pidfd_);
            other.reset();
            return *this;
        }
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
        ~Watch() { reset(); }
        void reset() noexcept;

    private:
        int epoll_ = -1;
        int pidfd_ = -1;
    };

    // Each end is told once the loop turns; who hears of it ends that watch.
    ProcessEnds(sd_event* loop, OnEnd onEnd);
    ProcessEnds(const ProcessEnds&) = delete;
    ProcessEnds& operator=(const ProcessEnds&) = delete;

    // AlreadyExists where that very pidfd is watched; a copy of it may be.
    Result<Watch> watch(const UniqueFd& pidfd, void* who) const;

private:
    static int onReady(sd_event_source* source, int fd, std::uint32_t events, void* self);

    OnEnd onEnd_;
    int error_ = 0;  // why nothing can be watched
    UniqueFd epoll_;
    EventSource source_;
};

}  // namespace recap
