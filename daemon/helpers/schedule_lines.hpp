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
    std::uint64_t delayUsec = 0;
    bool catchUp = false;  // a turn that was missed is made up for, once
    std::size_t line = 0;  // where it stands
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

// How long until `every` is due that was last at `last` (both CLOCK_REALTIME, µs; 0: not known).
std::uint64_t firstWaitUsec(const ScheduleEntry& entry, std::uint64_t last, std::uint64_t now);

}  // namespace recap::helpers
