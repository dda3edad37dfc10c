// SPDX-License-Identifier: Apache-2.0
// When a capsule runs without being asked: the manifest's [schedule], as triggers and bus see it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recap {

// What made a run start. The words that D-Bus and the ledger carry; also the order in which runs leave the queue.
enum class Trigger { OnDemand, Event, Periodic };
constexpr std::string_view name(Trigger trigger) {
    constexpr std::string_view names[] = {"on-demand", "event", "periodic"};
    return names[static_cast<std::size_t>(trigger)];
}

// What happened, for a run that an event started. Its payload finds the facts in RECAP_EVENT (`on`) and RECAP_EVENT_<KEY> (upper case,
// '-' as '_'), and all of it as one JSON object on its stdin, RECAP_EVENT_FD (see readsOccurrence()).
struct Occurrence {
    std::string on;          // the manifest's word: "oom"
    std::uint64_t when = 0;  // CLOCK_REALTIME, µs
    std::string cause;       // which one of its kind, so that none is acted on twice: the run that finished, the start time
    std::map<std::string, std::string> facts;  // "path", "resource", "run"; at most 4 KiB in all
};

// What happens to a run that is due on a target while an earlier one of the same capsule goes on there.
enum class Overlap { Skip, Queue, Replace, Allow };
enum class Missed { RunOnce, Skip };

struct PeriodicSchedule {  // one of calendar and every
    std::string calendar;  // systemd.time(7), "CALENDAR EVENTS"
    std::chrono::microseconds every{0};
    std::chrono::microseconds randomizedDelay{0};
    bool operator==(const PeriodicSchedule&) const = default;
};

struct EventSchedule {
    std::string on;  // target-start target-stop oom pressure file-changed dbus-signal run-finished
    std::string resource = {};
    std::chrono::microseconds stall{0};
    std::chrono::microseconds window{0};
    std::string path = {};
    std::string match = {};   // a match rule; alike where the rules are
    std::string sender = {};  // the well-known name in it
    std::string capsule = {};
    std::string outcome = {};
    std::chrono::microseconds cooldown{0};  // a target
    bool operator==(const EventSchedule&) const = default;
};

struct CapsuleSchedule {
    bool onDemand = true;
    Overlap overlap = Overlap::Skip;
    Missed missed = Missed::RunOnce;
    std::optional<PeriodicSchedule> periodic;
    std::vector<EventSchedule> events;
    bool operator==(const CapsuleSchedule&) const = default;
    bool any() const { return periodic.has_value() || !events.empty(); }
};

}  // namespace recap
