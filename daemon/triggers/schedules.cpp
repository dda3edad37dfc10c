// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/schedules.hpp"

#include <systemd/sd-daemon.h>

#include <cstdio>

#include "daemon/triggers/enabled.hpp"

namespace recap {
namespace {

std::string quoted(const std::string& name) { return "capsule '" + name + "'"; }

constexpr std::string_view kHeader = "recap-schedule 1\n";

// By capsule; nothing of what is no schedule file.
std::map<std::string, std::string> linesOf(std::string_view text) {
    std::map<std::string, std::string> lines;
    if (!text.starts_with(kHeader)) return lines;
    text.remove_prefix(kHeader.size());
    for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
        lines.emplace(text.substr(0, text.find(' ')), text.substr(0, end + 1));
        text.remove_prefix(end + 1);
    }
    return lines;
}

}  // namespace

std::string lineText(const ScheduleLine& line) {
    const auto& [calendar, every, delay] = line.periodic;
    return line.capsule + (line.missed == Missed::RunOnce ? " run-once " : " skip ") + std::to_string(delay.count()) +
           (calendar.empty() ? " every " + std::to_string(every.count()) : " calendar " + calendar) + "\n";
}

Result<std::unique_ptr<Schedules>> Schedules::create(const ScheduleParts& parts) {
    std::unique_ptr<Schedules> schedules(new Schedules(parts));
    if (parts.save) {
        schedules->lines_ = linesOf(parts.before);
        return schedules;
    }
    auto timers = LoopTimers::create(parts.loop, [self = schedules.get()](const std::string& name) {
        if (const auto run = self->run(name); !run)
            std::fprintf(stderr, SD_WARNING "schedule of %s: %s\n", quoted(name).c_str(), run.error().message.c_str());
    });
    if (!timers) return forward(std::move(timers));
    schedules->timers_ = std::move(*timers);
    return schedules;
}

void Schedules::begin() {
    begun_ = true;
    refresh();
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    const std::uint64_t until = timers_ ? now : now - microseconds(CLOCK_BOOTTIME);  // systemd's go on without recapd
    for (const auto* capsule : parts_.capsules.list())
        if (capsule->schedule.periodic && sound(*capsule, parts_.capsules)) tellMissed(*capsule, until);
}

void Schedules::refresh() {
    if (const auto armed = arm(); !armed) std::fprintf(stderr, SD_ERR "schedule: %s\n", armed.error().message.c_str());
}

Result<void> Schedules::arm() {
    if (!begun_) return {};  // before capsules are read, none is there to be armed
    std::vector<const CapsuleInfo*> armed;
    for (const auto* capsule : parts_.capsules.list())
        if (capsule->schedule.periodic && sound(*capsule, parts_.capsules)) armed.push_back(capsule);
    auto events = parts_.armed();
    auto timers = armTimers(armed);
    return events ? timers : events;
}

// Of a periodic capsule's randomized delay.
std::chrono::microseconds Schedules::shareOf(const CapsuleInfo& capsule) const {
    return hostsShare(capsule.schedule.periodic->randomizedDelay, parts_.machineId, capsule.name);
}

Result<void> Schedules::armTimers(const std::vector<const CapsuleInfo*>& armed) {
    if (timers_) {
        std::map<std::string, LoopTimers::Wanted> wanted;
        for (const auto* capsule : armed) {
            const auto& periodic = *capsule->schedule.periodic;
            if (periodic.every.count() == 0) continue;  // enabled while there was a manager
            wanted[capsule->name] = {{periodic.every, shareOf(*capsule), capsule->schedule.missed, capsule->enabling.since},
                                     capsule->enabling.last};
        }
        timers_->keep(wanted);
        return {};
    }
    std::map<std::string, std::string> lines;
    for (const auto* capsule : armed) {
        ScheduleLine line{capsule->name, *capsule->schedule.periodic, capsule->schedule.missed};
        if (line.periodic.calendar.empty()) line.periodic.randomizedDelay = shareOf(*capsule);
        lines[capsule->name] = lineText(line);
    }
    keepUnreadable(lines);
    std::string text(kHeader);
    for (const auto& [name, line] : lines) text += line;
    if (saved_ == text) return {};
    if (auto saved = parts_.save(text); !saved) return saved;
    saved_ = std::move(text);
    lines_ = std::move(lines);
    return {};
}

// A file that can't be read for now takes no timer away, and with it when that elapsed last: its turns are refused, and are seen to be.
void Schedules::keepUnreadable(std::map<std::string, std::string>& lines) const {
    for (const auto* capsule : parts_.capsules.list()) {
        if (!capsule->enabled || !unreadable(*capsule)) continue;
        if (const auto before = lines_.find(capsule->name); before != lines_.end()) lines.insert(*before);
    }
}

Result<void> Schedules::keptHere(const CapsuleInfo& capsule) const {
    if (!timers_ || !capsule.schedule.periodic || capsule.schedule.periodic->calendar.empty()) return {};
    return fail(Errc::NotSupported, quoted(capsule.name) +
                                        " runs by a calendar, which systemd's timers keep, and this machine has no systemd that runs; "
                                        "schedule.periodic.every works without");
}

void Schedules::check(const CapsuleInfo& capsule, Reply<void> reply) {
    if (auto ends = checkChain(capsule); !ends) return reply(std::move(ends));
    if (!capsule.schedule.periodic || capsule.schedule.periodic->calendar.empty()) return reply({});
    const std::string calendar = capsule.schedule.periodic->calendar;
    calendars_.ask({calendar}, [calendar, reply = std::move(reply)](const Calendars::Answers& answers) {
        const auto& times = answers.at(calendar);
        if (!times && times.error().code == Errc::InvalidArgument) return reply(tl::unexpected(times.error()));
        reply({});
    });
}

Result<void> Schedules::checkChain(const CapsuleInfo& capsule) const {
    const std::string loop = loopProblem(capsule, parts_.capsules);
    if (loop.empty()) return {};
    return fail(Errc::InvalidArgument, quoted(capsule.name) + " " + loop);
}

Result<const CapsuleInfo*> Schedules::schedulable(const std::string& name, const std::string& shown) const {
    const auto capsule = parts_.capsules.find(name);
    if (!capsule) return capsule;
    if (!(*capsule)->schedule.any())
        return fail(Errc::InvalidArgument, quoted(name) + " has no [schedule] in its manifest, so there is nothing to enable");
    if (auto ends = checkChain(**capsule); !ends) return forward(std::move(ends));
    if (asks(**capsule) != shown) return fail(Errc::Denied, quoted(name) + " was changed after the authorisation to enable it; ask again");
    return capsule;
}

void Schedules::enable(const std::string& name, std::uint32_t uid, const std::string& shown, Reply<void> reply) {
    const auto capsule = schedulable(name, shown);
    if (!capsule) return reply(tl::unexpected(capsule.error()));
    if (auto kept = keptHere(**capsule); !kept) return reply(std::move(kept));
    const auto& periodic = (*capsule)->schedule.periodic;
    if (!periodic || periodic->calendar.empty()) return reply(enableNow(name, uid, shown));
    const std::string calendar = periodic->calendar;
    calendars_.ask({calendar}, [this, name, uid, shown, calendar, reply = std::move(reply)](const Calendars::Answers& answers) {
        const auto& times = answers.at(calendar);
        if (!times) return reply(tl::unexpected(times.error()));
        if (times->empty())
            return reply(
                fail(Errc::InvalidArgument, "calendar '" + calendar + "' of " + quoted(name) + " has no time that is still to come"));
        reply(enableNow(name, uid, shown));
    });
}

// Enabled and armed, or as it was before.
Result<void> Schedules::enableNow(const std::string& name, std::uint32_t uid, const std::string& shown) {
    if (const auto capsule = schedulable(name, shown); !capsule) return tl::unexpected(capsule.error());
    const auto before = parts_.capsules.enablingOf(name);
    if (auto enabled = parts_.capsules.enable(name, uid); !enabled) return enabled;
    auto armed = arm();
    if (armed) return armed;
    takeBack(name, before);
    (void)arm();
    return armed;
}

void Schedules::takeBack(const std::string& name, const std::optional<Enabling>& before) {
    if (before) {
        const auto restored = parts_.capsules.restore(name, *before);
        if (restored) return;
        std::fprintf(stderr, SD_WARNING "%s is not enabled any more, as it was before: %s\n", quoted(name).c_str(),
                     restored.error().message.c_str());
    }
    (void)parts_.capsules.disable(name);
}

Result<void> Schedules::disable(const std::string& name) {
    if (auto disabled = parts_.capsules.disable(name); !disabled) return disabled;
    return arm();
}

Result<BatchId> Schedules::run(const std::string& name) {
    const auto found = parts_.capsules.find(name);
    if (!found) return tl::unexpected(found.error());
    const CapsuleInfo& capsule = **found;
    if (!capsule.enabled)
        return fail(Errc::Denied, quoted(name) + " is not enabled, so nobody's right runs it; 'recapctl capsule enable' arms its schedule");
    if (!capsule.schedule.periodic && problemOf(capsule, parts_.capsules).empty())
        return fail(Errc::InvalidArgument, quoted(name) + " has no [schedule.periodic] in its manifest, and so has no turns");
    auto batch = turn(capsule);
    if (batch)
        parts_.capsules.ranAsScheduled(name);
    else
        skip(capsule, batch.error().message);
    return batch;
}

Result<BatchId> Schedules::turn(const CapsuleInfo& capsule) {
    if (const auto problem = problemOf(capsule, parts_.capsules); !problem.empty())
        return fail(Errc::Denied, quoted(capsule.name) + ": " + problem);
    BatchRequest request;
    request.run.trigger = Trigger::Periodic;
    request.run.received = monotonicMicroseconds();
    request.selection.parallel = capsule.selection.parallel;
    if (auto asked = asEnabler(capsule, parts_.images, parts_.batches, request); !asked) return forward(std::move(asked));
    return parts_.batches.start(std::move(request));
}

// A turn that starts nothing is a fact too.
void Schedules::skip(const CapsuleInfo& capsule, const std::string& why, std::shared_ptr<const Occurrence> missed) {
    RunRequest request;
    request.occurrence = std::move(missed);
    request.capsule = capsule.name;
    request.caller.uid = capsule.enabling.uid;
    request.trigger = Trigger::Periodic;
    if (const auto skipped = parts_.runs.skip(std::move(request), why); !skipped)
        std::fprintf(stderr, SD_WARNING "a turn of %s started nothing (%s), and that can't be written down: %s\n",
                     quoted(capsule.name).c_str(), why.c_str(), skipped.error().message.c_str());
}

// Turns that passed by `until` and that nothing makes up for, in one row, by whichever recapd is the first to see it.
void Schedules::tellMissed(const CapsuleInfo& capsule, std::uint64_t until) {
    const PeriodicSchedule& periodic = *capsule.schedule.periodic;
    const auto every = static_cast<std::uint64_t>(periodic.every.count());
    const std::uint64_t before = std::max(capsule.enabling.last, capsule.enabling.since);
    if (capsule.schedule.missed == Missed::RunOnce || every == 0 || before == 0) return;
    // systemd spreads each turn over all of that time.
    auto delay = periodic.randomizedDelay;
    if (timers_) delay = capsule.enabling.last == 0 ? hostsShare(delay, parts_.machineId, capsule.name) : std::chrono::microseconds(0);
    const std::uint64_t due = before + every + static_cast<std::uint64_t>(delay.count());
    if (due >= until) return;
    const Occurrence missed{"missed-turn", until, std::to_string(due), {}};
    const auto told = parts_.runs.actedOn(capsule.name, missed, due);
    if (!told || *told) return;
    const std::uint64_t turns = (until - due) / every + 1;
    skip(capsule,
         std::to_string(turns) + (turns == 1 ? " turn was" : " turns were") + " due while " +
             (timers_ ? "recapd was away" : "this machine was off") + ", and schedule.missed says skip",
         std::make_shared<const Occurrence>(missed));
}

void Schedules::list(Reply<std::vector<ScheduleRow>> reply) {
    std::vector<std::string> calendars;
    for (const auto* capsule : parts_.capsules.list())
        if (const auto& periodic = capsule->schedule.periodic; periodic && !periodic->calendar.empty())
            calendars.push_back(periodic->calendar);
    calendars_.ask(calendars, [this, reply = std::move(reply)](const Calendars::Answers& answers) {
        auto all = rows();
        addTimes(all, answers);
        reply(std::move(all));
    });
}

std::vector<ScheduleRow> Schedules::rows() const {
    std::vector<ScheduleRow> all;
    const auto targets = parts_.targets.list();
    for (const auto* capsule : parts_.capsules.list()) {
        if (!capsule->schedule.any() && !capsule->enabled) continue;
        ScheduleRow row;
        row.capsule = capsule->name;
        row.enabled = capsule->enabled;
        row.enabler = capsule->enabling.uid;
        row.last = capsule->enabling.last;
        if (capsule->schedule.any()) row.targets = select(capsule->selection, targets).size();
        row.problem = capsule->enabled ? problemOf(*capsule, parts_.capsules) : std::string();
        row.periodic = capsule->schedule.periodic;
        if (row.periodic || !capsule->schedule.any()) all.push_back(row);
        row.periodic.reset();
        row.last = 0;
        for (std::size_t i = 0; i < capsule->schedule.events.size(); ++i) {
            row.event = capsule->schedule.events[i];
            row.unheard = row.enabled && row.problem.empty() ? parts_.unheard(capsule->name, i) : std::string();
            all.push_back(row);
        }
    }
    return all;
}

void Schedules::addTimes(std::vector<ScheduleRow>& rows, const Calendars::Answers& answers) const {
    for (auto& row : rows) {
        if (!row.periodic) continue;
        const auto capsule = parts_.capsules.find(row.capsule);
        if (!row.periodic->calendar.empty()) {
            const auto times = answers.find(row.periodic->calendar);
            if (times == answers.end()) continue;  // installed meanwhile
            if (times->second) row.next = *times->second;
            if (row.problem.empty() && !times->second) row.problem = times->second.error().message;
            if (row.problem.empty() && row.enabled && timers_ && capsule) row.problem = keptHere(**capsule).error().message;
        } else if (row.enabled && row.problem.empty() && capsule) {
            const Enabling& enabling = (*capsule)->enabling;
            const auto wait = row.periodic->every + (enabling.last == 0 ? shareOf(**capsule) : std::chrono::microseconds(0));
            const std::uint64_t before = std::max(enabling.last, enabling.since);
            row.next = {timers_ ? timers_->next(row.capsule) : before + static_cast<std::uint64_t>(wait.count())};
        }
    }
}

}  // namespace recap
