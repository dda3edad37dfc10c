// SPDX-License-Identifier: Apache-2.0
// The schedule file as recap-schedule reads it: recapd's word, which is believed in nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::helpers {

struct ScheduleEntry {
    std::string capsule;
    std::string calendar;         // one of this
    std::uint64_t everyUsec = 0;  // and this
    std::uint64_t delayUsec = 0;  // of a calendar: the most that systemd may add; of `every`: how much later its turns begin, once
    bool catchUp = false;         // a turn that was missed is made up for, once
    std::size_t line = 0;         // where it stands
    bool operator==(const ScheduleEntry&) const = default;
};

struct ScheduleFile {
    std::vector<ScheduleEntry> entries;
    std::vector<std::string> problems;  // a line of its own each: "line 3: …"
};

inline constexpr std::size_t kMostEntries = 4096;
inline constexpr std::size_t kMostScheduleBytes = 1 << 20;
inline constexpr std::uint64_t kLeastPeriodUsec = 1'000'000;
inline constexpr std::uint64_t kMostPeriodUsec = 366ull * 24 * 3600 * 1'000'000;

// A line that is wrong is left out and named; only a text that is no schedule at all is an error.
Result<ScheduleFile> readSchedule(std::string_view text);

// The entry as a line, as it stands in the file; two that are equal need no new timer.
std::string lineOf(const ScheduleEntry& entry);

// What is put beside recap-capsule@.timer for it. `firstWaitUsec`: of `every`, how long after its start the timer is due.
std::string dropInOf(const ScheduleEntry& entry, std::uint64_t firstWaitUsec);
// The line that a drop-in was made of; empty: it is none of recap-schedule's.
std::string lineIn(std::string_view dropIn);

// When a capsule was enabled, and when its timer ran it last (both CLOCK_REALTIME, µs; 0: not known). The same: not yet.
struct Turns {
    std::uint64_t since = 0;
    std::uint64_t last = 0;
};
std::uint64_t sinceIn(std::string_view enabling);  // of recapd's file about a capsule that is enabled

// How long until `every` is due.
std::uint64_t firstWaitUsec(const ScheduleEntry& entry, const Turns& turns, std::uint64_t now);

}  // namespace recap::helpers
