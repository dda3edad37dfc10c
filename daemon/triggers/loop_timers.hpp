// SPDX-License-Identifier: Apache-2.0
// Periods kept by recapd's own loop, where no systemd manager keeps timers: every = "90s" and no calendars.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/core/event.hpp"
#include "daemon/core/schedule.hpp"
#include "sdk/base/result.hpp"

namespace recap {

struct Beat {
    std::chrono::microseconds every{0};
    std::chrono::microseconds delay{0};  // this host's share of randomized-delay
    Missed missed = Missed::RunOnce;
    std::uint64_t since = 0;  // CLOCK_REALTIME, µs, when it was enabled
    bool operator==(const Beat&) const = default;
};

// How long until a beat is due that is taken up at `now` and ran `last` (CLOCK_REALTIME, µs; 0: never). One that should have been
// meanwhile is made up for once, or waits for its next turn.
std::chrono::microseconds firstWait(const Beat& beat, std::uint64_t last, std::uint64_t now);

// Of 0 to `most`, always the same for one capsule on one host, and spread evenly over hosts.
std::chrono::microseconds hostsShare(std::chrono::microseconds most, std::string_view machineId, std::string_view capsule);

class LoopTimers {
public:
    using Due = std::function<void(const std::string& name)>;
    static Result<std::unique_ptr<LoopTimers>> create(sd_event* loop, Due due);
    LoopTimers(const LoopTimers&) = delete;
    LoopTimers& operator=(const LoopTimers&) = delete;

    struct Wanted {
        Beat beat;
        std::uint64_t last = 0;
    };
    // From now on these and no others; a beat that is as it was keeps its turn.
    void keep(const std::map<std::string, Wanted>& wanted);
    std::uint64_t next(const std::string& name) const;  // CLOCK_REALTIME, µs; 0: it has none

private:
    struct Kept {
        Beat beat;
        std::uint64_t due = 0;  // CLOCK_BOOTTIME, µs
    };
    explicit LoopTimers(Due due) : due_(std::move(due)) {}
    void arm();
    void tick();
    static int onTime(sd_event_source* source, std::uint64_t now, void* self);

    Due due_;
    std::map<std::string, Kept> kept_;
    EventSource timer_;
};

}  // namespace recap
