// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/pump.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace recap {
namespace {

constexpr std::size_t kMaxPumps = 256;
constexpr std::uint64_t kAskAgainUsec = 50'000;  // a log that grows tells nobody

}  // namespace

Pumps::~Pumps() = default;

Result<UniqueFd> Pumps::open(Source source) {
    if (pumps_.size() >= kMaxPumps)
        return fail(Errc::LimitExceeded, "too many streams are open; close some of the " + std::to_string(kMaxPumps));
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failErrno("pipe");
    UniqueFd reading(ends[0]);
    auto pump = std::make_unique<Pump>();
    pump->owner = this;
    pump->source = std::move(source);
    pump->pipe.reset(ends[1]);
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    sd_event_source* added = nullptr;
    int error = sd_event_add_io(loop_, &added, ends[1], EPOLLOUT, onWritable, pump.get());
    if (error < 0) return failErrno("watch a pipe", -error);
    pump->writable.reset(added);
    error = sd_event_add_time_relative(loop_, &added, CLOCK_MONOTONIC, kAskAgainUsec, 0, onLater, pump.get());
    if (error < 0) return failErrno("timer of a pipe", -error);
    pump->later.reset(added);
    sd_event_source_set_enabled(added, SD_EVENT_OFF);
    pumps_.push_back(std::move(pump));
    return reading;
}

Pumps::Step Pumps::push(Pump& pump) {
    while (true) {
        if (pump.written == pump.chunk.data.size()) {
            if (pump.chunk.eof) return Step::Ended;
            auto next = pump.source(pump.offset);
            if (!next || (next->data.empty() && next->eof)) return Step::Ended;
            if (next->data.empty()) return Step::Empty;
            pump.offset += next->data.size();
            pump.chunk = std::move(*next);
            pump.written = 0;
        }
        const ssize_t count = ::write(pump.pipe.get(), pump.chunk.data.data() + pump.written, pump.chunk.data.size() - pump.written);
        if (count < 0) return errno == EAGAIN || errno == EINTR ? Step::Full : Step::Ended;
        pump.written += static_cast<std::size_t>(count);
    }
}

void Pumps::advance(Pump& pump) {
    const Step step = push(pump);
    if (step == Step::Ended) return remove(pump);
    // Without interest in writing the reader's going is still reported.
    sd_event_source_set_io_events(pump.writable.get(), step == Step::Full ? std::uint32_t{EPOLLOUT} : 0);
    if (step == Step::Full) return;
    sd_event_source_set_time_relative(pump.later.get(), kAskAgainUsec);
    sd_event_source_set_enabled(pump.later.get(), SD_EVENT_ONESHOT);
}

void Pumps::remove(Pump& pump) {
    pumps_.remove_if([&](const auto& known) { return known.get() == &pump; });
}

int Pumps::onWritable(sd_event_source*, int, std::uint32_t events, void* data) {
    auto& pump = *static_cast<Pump*>(data);
    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
        pump.owner->remove(pump);
    else
        pump.owner->advance(pump);
    return 0;
}

int Pumps::onLater(sd_event_source*, std::uint64_t, void* data) {
    auto& pump = *static_cast<Pump*>(data);
    pump.owner->advance(pump);
    return 0;
}

}  // namespace recap
