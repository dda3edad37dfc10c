// SPDX-License-Identifier: Apache-2.0
// What `recapctl events` says: what became of runs that nobody asked for, and whatever recapd tells of from then on, a line each.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

struct EventFilter {  // empty: any
    std::string capsule;
    std::string target;  // BACKEND:ID
};

struct EventLine {
    std::uint64_t time = 0;  // CLOCK_REALTIME, µs
    std::string what;        // as a Happening's, and "run-skipped"
    recap::client::Dict details;
};
// With --json an object and its line's end: "what", "time" and the details; else for people.
std::string inOneLine(const EventLine& event, const Style& style);

// Rows and signals on their way to lines: each thing once, whichever of the two tells of it first, and only what the filter admits.
// A batch has its capsule by its runs; where there is none, and with a filter by target, nothing is said of it.
class EventLines {
public:
    explicit EventLines(EventFilter filter) : filter_(std::move(filter)) {}

    // Of rows of ListRuns, in any order: their last state each, by when it was reached.
    std::vector<EventLine> past(const recap::client::Rows& runs);
    std::optional<EventLine> next(const recap::client::Happening& happening, std::uint64_t now);

    // Runs that have begun and have not ended, as far as was told: what became of them while nobody could tell is in their rows.
    std::vector<std::string> underWay() const;

private:
    enum class Stage { Submitted = 1, Started, Finished };
    bool isNews(const EventLine& event);
    bool admits(const EventLine& event) const;
    bool admitsBatch(EventLine& event);

    EventFilter filter_;
    std::map<std::string, Stage, std::less<>> runs_;
    std::map<std::string, std::string, std::less<>> batches_;  // under way: of which capsule
};

}  // namespace recapctl
