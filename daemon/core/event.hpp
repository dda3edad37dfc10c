// SPDX-License-Identifier: Apache-2.0
// Thin owners for sd-event, the one loop that holds recapd's state.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <ctime>
#include <memory>

namespace recap {

struct EventUnref {
    void operator()(sd_event* event) const { sd_event_unref(event); }
};
using EventLoop = std::unique_ptr<sd_event, EventUnref>;

// Disabled and released with its owner; never from inside another thread.
struct SourceUnref {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
using EventSource = std::unique_ptr<sd_event_source, SourceUnref>;

inline std::uint64_t microseconds(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}
inline std::uint64_t monotonicMicroseconds() { return microseconds(CLOCK_MONOTONIC); }

}  // namespace recap
