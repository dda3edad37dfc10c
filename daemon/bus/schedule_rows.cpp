// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/rows.hpp"

namespace recap::bus {
namespace {

std::uint64_t usec(std::chrono::microseconds duration) { return static_cast<std::uint64_t>(duration.count()); }

void addPeriodic(Row& values, const PeriodicSchedule& periodic) {
    if (periodic.calendar.empty())
        values.set("every", usec(periodic.every));
    else
        values.set("calendar", periodic.calendar);
    if (periodic.randomizedDelay.count() > 0) values.set("randomized-delay", usec(periodic.randomizedDelay));
}

void addEvent(Row& values, const EventSchedule& event) {
    values.set("on", event.on);
    for (const auto& [key, text] : {std::pair{"resource", &event.resource},
                                    {"path", &event.path},
                                    {"match", &event.match},
                                    {"on-capsule", &event.capsule},
                                    {"outcome", &event.outcome}})
        if (!text->empty()) values.set(key, *text);
    for (const auto& [key, duration] : {std::pair{"stall", event.stall}, {"window", event.window}, {"cooldown", event.cooldown}})
        if (duration.count() > 0) values.set(key, usec(duration));
}

}  // namespace

Row row(const ScheduleRow& schedule) {
    Row values{{"capsule", schedule.capsule}, {"enabled", schedule.enabled}, {"targets", static_cast<std::uint32_t>(schedule.targets)}};
    if (schedule.periodic || schedule.event)
        values.set("trigger", std::string(name(schedule.periodic ? Trigger::Periodic : Trigger::Event)));
    if (schedule.enabled) values.set("enabler", schedule.enabler);
    if (!schedule.problem.empty()) values.set("problem", schedule.problem);
    if (!schedule.unheard.empty()) values.set("unheard", schedule.unheard);
    if (schedule.periodic) addPeriodic(values, *schedule.periodic);
    if (schedule.event) addEvent(values, *schedule.event);
    if (!schedule.next.empty()) values.set("next", schedule.next.front());
    if (!schedule.next.empty() && schedule.periodic && !schedule.periodic->calendar.empty()) values.set("upcoming", schedule.next);
    if (schedule.last != 0) values.set("last", schedule.last);
    return values;
}

}  // namespace recap::bus
