// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "sdk/manifest/match_rule.hpp"
#include "sdk/manifest/sections.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

constexpr std::chrono::seconds kLeastPeriod{1};
constexpr std::chrono::hours kMostPeriod{366 * 24};  // of both: whatever is rarer is a calendar's
constexpr std::chrono::milliseconds kLeastWindow{500};
constexpr std::chrono::seconds kMostWindow{10};

void readPeriodic(TableReader table, std::optional<Periodic>& into) {
    Periodic periodic;
    table.text("calendar", periodic.calendar, checkCalendar);
    if (std::chrono::microseconds every{}; table.duration("every", every)) periodic.every = every;
    table.duration("randomized-delay", periodic.randomizedDelay);
    if (periodic.every && (*periodic.every < kLeastPeriod || *periodic.every > kMostPeriod))
        table.note("every", "a period is 1s to 366d; for what is rarer there is calendar");
    if (periodic.randomizedDelay > kMostPeriod) table.note("randomized-delay", "a delay is at most 366d");
    if (table.has("calendar") == table.has("every"))
        table.noteAt(table.node().position, "calendar", "exactly one of calendar and every is needed here");
    table.finish();
    into = std::move(periodic);
}

// Which keys belong to which event.
struct Owner {
    std::string_view key;
    std::string_view event;
    bool required;
};
constexpr std::array kOwners{
    Owner{"resource", "pressure", true},     Owner{"stall", "pressure", true},    Owner{"window", "pressure", true},
    Owner{"path", "file-changed", true},     Owner{"match", "dbus-signal", true}, Owner{"capsule", "run-finished", true},
    Owner{"outcome", "run-finished", false},
};

void checkOwners(TableReader& table, std::string_view event) {
    for (const auto& owner : kOwners) {
        const bool given = table.has(owner.key);
        if (given && owner.event != event) table.note(owner.key, "belongs to on = \"" + std::string(owner.event) + "\"");
        if (!given && owner.required && owner.event == event)
            table.note(owner.key, "missing: on = \"" + std::string(event) + "\" needs it");
    }
}

// As the kernel takes them (its pressure stall information).
void checkPressure(TableReader& table, const EventTrigger& event) {
    if (table.has("window") && (event.window < kLeastWindow || event.window > kMostWindow))
        table.note("window", "a window is 500ms to 10s");
    if (table.has("stall") && event.stall.count() == 0) table.note("stall", "a stall is more than none");
    if (event.window.count() && event.stall > event.window) table.note("stall", "a stall can't be longer than its window");
}

void readEvent(TableReader table, std::vector<EventTrigger>& into) {
    EventTrigger event;
    table.require("on");
    const bool known = table.choice("on", event.on,
                                    {{"target-start", "target-start"},
                                     {"target-stop", "target-stop"},
                                     {"oom", "oom"},
                                     {"pressure", "pressure"},
                                     {"file-changed", "file-changed"},
                                     {"dbus-signal", "dbus-signal"},
                                     {"run-finished", "run-finished"}});
    table.choice("resource", event.resource, {{"memory", "memory"}, {"cpu", "cpu"}, {"io", "io"}});
    table.duration("stall", event.stall);
    table.duration("window", event.window);
    table.text("path", event.path, checkPath);
    if (std::string rule; table.text("match", rule, checkMatchRule)) {
        const auto match = parseMatchRule(rule);
        event.match = match->text;
        event.sender = match->sender;
    }
    table.text("capsule", event.capsule, checkName);
    table.choice("outcome", event.outcome,
                 {{"succeeded", "succeeded"},
                  {"failed", "failed"},
                  {"killed", "killed"},
                  {"timed-out", "timed-out"},
                  {"target-gone", "target-gone"},
                  {"denied", "denied"},
                  {"not-started", "not-started"},
                  {"lost", "lost"},
                  {"skipped", "skipped"}});
    table.duration("cooldown", event.cooldown);
    if (known) checkOwners(table, event.on);
    if (event.on == "pressure") checkPressure(table, event);
    table.finish();
    into.push_back(std::move(event));
}

}  // namespace

void readSchedule(TableReader table, Schedule& into) {
    table.boolean("on-demand", into.onDemand);
    table.choice("overlap", into.overlap,
                 {{"skip", Overlap::Skip}, {"queue", Overlap::Queue}, {"replace", Overlap::Replace}, {"allow", Overlap::Allow}});
    table.choice("missed", into.missed, {{"run-once", Missed::RunOnce}, {"skip", Missed::Skip}});
    if (auto periodic = table.table("periodic")) readPeriodic(*periodic, into.periodic);
    for (auto& event : table.tables("event")) readEvent(event, into.events);
    table.finish();
}

}  // namespace recap::manifest
