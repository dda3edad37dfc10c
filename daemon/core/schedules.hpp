// SPDX-License-Identifier: Apache-2.0
// What runs by itself, and when. Implemented by daemon/triggers; on the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/schedule.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// One way in which a capsule starts by itself: its [schedule.periodic], or one of its [[schedule.event]].
struct ScheduleRow {
    std::string capsule;
    std::optional<PeriodicSchedule> periodic;
    std::optional<EventSchedule> event;  // exactly one of the two; none: of one that is enabled nothing is known, as `problem` says
    bool enabled = false;
    std::uint32_t enabler = 0;        // uid, of one that is enabled
    std::vector<std::uint64_t> next;  // CLOCK_REALTIME, µs: of a calendar the next five, of `every` the next, as far as it is known
    std::uint64_t last = 0;           // likewise, when its timer ran it last; 0: not since it was enabled
    std::size_t targets = 0;          // that it would run on now
    std::string problem;              // why it does not run although it is enabled
    std::string unheard;              // of an event: where nobody hears of it, and why; empty: it is heard of
};

class ScheduleTable {
public:
    template <class T>
    using Reply = std::function<void(Result<T>)>;

    virtual ~ScheduleTable() = default;
    // Could a capsule like this ever run by itself: does systemd take its calendar? One that cannot be asked is not in the way.
    virtual void check(const CapsuleInfo& capsule, Reply<void> reply) = 0;
    // `shown`: asks() of what the user's right was asked about; a capsule that asks for something else by now is not enabled.
    virtual void enable(const std::string& capsule, std::uint32_t uid, const std::string& shown, Reply<void> reply) = 0;
    virtual Result<void> disable(const std::string& capsule) = 0;
    // What its timer does. Denied: it is not enabled, or asks for more than it did when it was.
    virtual Result<BatchId> run(const std::string& capsule) = 0;
    virtual void list(Reply<std::vector<ScheduleRow>> reply) = 0;
    virtual void refresh() = 0;  // capsules have changed
};

}  // namespace recap
