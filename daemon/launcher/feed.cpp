// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/feed.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {
constexpr std::uint64_t kPatienceUsec = 30000000;  // for who is slow to read a run's last words
}

std::shared_ptr<Feed> Feed::open(Loop& loop, std::shared_ptr<StreamCounts> counts, UniqueFd socket, std::function<void()> changed) {
    auto feed = std::make_shared<Feed>(loop, std::move(counts), std::move(socket), std::move(changed));
    // Without events a reader that closes shows all the same.
    const bool watched = loop.add(feed->socket_.get(), 0, [feed](std::uint32_t events) { feed->onEvent(events); });
    if (!watched) feed->socket_.reset();
    return feed;
}

Feed::Feed(Loop& loop, std::shared_ptr<StreamCounts> counts, UniqueFd socket, std::function<void()> changed)
    : loop_(loop), counts_(std::move(counts)), socket_(std::move(socket)), changed_(std::move(changed)) {
    ++counts_->feeds;
}

Feed::~Feed() { --counts_->feeds; }

void Feed::put(std::string_view bytes) {
    if (gone() || bytes.empty()) return;
    waiting_ += bytes;
    if (waiting_.size() == bytes.size()) flush();
}

void Feed::end() {
    changed_ = {};
    if (gone()) return;
    if (!full()) return close();
    // Weakly: with the reader gone this has no business in the loop any more.
    patience_ = loop_.at(monotonicUsec() + kPatienceUsec, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->patience_.reset();
            self->close();
        }
    });
}

void Feed::onEvent(std::uint32_t events) {
    const auto self = shared_from_this();
    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        close();
    else
        flush();
    if (!full() && changed_) changed_();
}

void Feed::flush() {
    const ssize_t size = weakened(Threat::HangingMounts)
                             ? ::write(socket_.get(), waiting_.data(), waiting_.size())
                             : ::send(socket_.get(), waiting_.data(), waiting_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0 && errno != EAGAIN && errno != EINTR) return close();
    waiting_.erase(0, size > 0 ? static_cast<std::size_t>(size) : 0);
    if (!full() && patience_) return close();
    loop_.change(socket_.get(), full() ? std::uint32_t{EPOLLOUT} : 0u);
}

void Feed::close() {
    const auto self = shared_from_this();  // the loop may hold the last one
    if (patience_) loop_.cancel(*patience_);
    patience_.reset();
    waiting_ = {};
    if (!socket_) return;
    loop_.remove(socket_.get());
    socket_.reset();
}

}  // namespace recap::launcher
