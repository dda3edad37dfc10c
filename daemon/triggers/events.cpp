// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/events.hpp"

#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "daemon/core/process.hpp"

namespace recap {
namespace {

constexpr std::size_t kFired = 20'000;              // target starts and stops that are remembered
constexpr std::size_t kLeaving = 4096;              // targets at a time whose end is waited for
constexpr std::uint64_t kLeavingUsec = 10'000'000;  // for so long
constexpr std::uint64_t kChainUsec = 600'000'000;   // how old a finished run may be that a chain is made up for
constexpr std::uint32_t kMostRows = 1000;

// When a process was started, by its clock ticks since boot (CLOCK_BOOTTIME, proc_pid_stat(5)).
std::uint64_t realTimeOf(std::uint64_t ticks) {
    static const auto hertz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return microseconds(CLOCK_REALTIME) - microseconds(CLOCK_BOOTTIME) + ticks * (1'000'000 / hertz);
}

std::string seconds(std::chrono::microseconds time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

Occurrence startOccurrence(const Target& target) {
    return {"target-start",
            microseconds(CLOCK_REALTIME),
            std::to_string(target.startTime),
            {{"target", target.id.text()}, {"name", target.name}}};
}

}  // namespace

Result<std::unique_ptr<Events>> Events::create(const EventParts& parts) {
    std::unique_ptr<Events> events(new Events(parts));
    sd_event_source* source = nullptr;
    const int error = sd_event_add_time(parts.loop, &source, CLOCK_MONOTONIC, 0, 100'000, onTell, events.get());
    if (error < 0) return failErrno("the events' timer", -error);
    events->tell_.reset(source);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return events;
}

void Events::refresh() {
    std::vector<ArmedEvent> armed;
    for (const CapsuleInfo* capsule : parts_.capsules.list()) {
        const std::uint64_t since = parts_.armedSince(*capsule);
        if (since == 0) continue;
        for (std::size_t i = 0; i < capsule->schedule.events.size(); ++i)
            armed.push_back({capsule->name, i, capsule->schedule.events[i], capsule->selection, capsule->schedule.missed, since});
    }
    for (const auto& old : armed_)  // by what it was armed with
        if (std::ranges::none_of(armed, [&](const ArmedEvent& now) { return now.capsule == old.capsule; }))
            tell(throttle_.forgetCapsule(old.capsule));
    armed_ = std::move(armed);
    known_.clear();
    for (const Target* target : parts_.targets.list()) know(*target);
}

void Events::begin() {
    begun_ = true;
    refresh();
    catchUp();
}

void Events::happened(const ArmedEvent& armed, const Target* target, Occurrence occurrence) {
    const std::string on = target == nullptr ? std::string() : target->id.text();
    if (!throttle_.pass({armed.capsule, armed.index, on}, static_cast<std::uint64_t>(armed.event.cooldown.count()), parts_.now()))
        return tellLater();
    const auto capsule = parts_.capsules.find(armed.capsule);
    if (!capsule) return;
    const auto batch = parts_.fire(**capsule, occurrence, target == nullptr ? std::vector<TargetId>() : std::vector{target->id});
    if (!batch) skip(armed, on, occurrence, batch.error().message);
}

// What starts before begin() was there before: catchUp() looks at it.
void Events::targetAdded(const Target& target) {
    know(target);
    if (!begun_) return;
    const auto armed = armed_;  // what is fired may change it
    for (const auto& one : armed)
        if (one.event.on == "target-start" && matches(one.selection, target)) startOf(one, target);
}

// A better backend may tell of it once more, by another name: a start is a process's.
void Events::startOf(const ArmedEvent& armed, const Target& target) {
    if (target.pid <= 0 || realTimeOf(target.startTime) + 1'000'000 < armed.since) return;
    if (fireOnce(armed, {target.pid, target.startTime})) happened(armed, &target, startOccurrence(target));
}

bool Events::fireOnce(const ArmedEvent& armed, const Life& life) {
    const auto [at, isNew] = fired_.emplace(armed.capsule, armed.index, life);
    if (!isNew) return false;
    firedOrder_.push_back(at);
    if (firedOrder_.size() > kFired) {
        fired_.erase(firedOrder_.front());
        firedOrder_.pop_front();
    }
    return true;
}

void Events::know(const Target& target) {
    Known known{{target.pid, target.startTime}, target.name, {}};
    for (const auto& one : armed_)
        if (one.event.on == "target-stop" && matches(one.selection, target)) known.stops.emplace(one.capsule, one.index);
    if (!known.stops.empty()) known_[target.id] = std::move(known);
}

// Its backend may be gone, or a better one tell of it: it has stopped where its process has.
void Events::targetRemoved(const TargetId& id) {
    tell(throttle_.forgetTarget(id.text()));
    auto node = known_.extract(id);
    if (node.empty() || !begun_) return;
    auto pinned = pinProcess(node.mapped().life.pid);
    if (!pinned || pinned->startTime != node.mapped().life.startTime || ended(pinned->pidfd)) return stopOf(id, node.mapped());
    waitForEnd(id, std::move(node.mapped()), std::move(pinned->pidfd));
}

void Events::waitForEnd(const TargetId& id, Known known, UniqueFd pidfd) {
    if (leaving_.size() >= kLeaving) return;
    leaving_.push_front({this, id, std::move(known), std::move(pidfd), {}, {}, {}});
    Leaving& leaving = leaving_.front();
    leaving.self = leaving_.begin();
    sd_event_source *end = nullptr, *late = nullptr;
    if (sd_event_add_io(parts_.loop, &end, leaving.pidfd.get(), EPOLLIN, onEnd, &leaving) < 0) return leaving_.pop_front();
    leaving.end.reset(end);
    if (sd_event_add_time_relative(parts_.loop, &late, CLOCK_MONOTONIC, kLeavingUsec, 0, onLate, &leaving) < 0) return leaving_.pop_front();
    leaving.late.reset(late);
}

int Events::onEnd(sd_event_source*, int, std::uint32_t, void* self) {
    Leaving& leaving = *static_cast<Leaving*>(self);
    Events& events = *leaving.events;
    const TargetId id = leaving.id;
    const Known known = std::move(leaving.known);
    events.leaving_.erase(leaving.self);
    events.stopOf(id, known);
    return 0;
}

int Events::onLate(sd_event_source*, std::uint64_t, void* self) {
    Leaving& leaving = *static_cast<Leaving*>(self);
    leaving.events->leaving_.erase(leaving.self);
    return 0;
}

// There is nothing to attach to any more: the capsule runs on what it selects of the others.
void Events::stopOf(const TargetId& id, const Known& known) {
    const auto armed = armed_;
    for (const auto& one : armed) {
        if (one.event.on != "target-stop" || !known.stops.contains({one.capsule, one.index}) || !fireOnce(one, known.life)) continue;
        happened(one, nullptr,
                 {"target-stop",
                  microseconds(CLOCK_REALTIME),
                  id.text() + " " + std::to_string(known.life.startTime),
                  {{"target", id.text()}, {"name", known.name}}});
    }
}

void Events::finished(const RunReport& report) {
    if (!begun_) return;
    const RunRecord* found = parts_.runs.find(report.id);
    if (found == nullptr) return;
    const RunRecord run = *found;
    const auto armed = armed_;
    for (const auto& one : armed) chain(one, run);
}

// A run that was skipped is none that finished, but where that is asked for.
void Events::chain(const ArmedEvent& armed, const RunRecord& run) {
    if (armed.event.on != "run-finished" || armed.event.capsule != run.request.capsule) return;
    const std::string outcome(name(run.report.outcome));
    if (armed.event.outcome.empty() ? run.report.outcome == Outcome::Skipped : armed.event.outcome != outcome) return;
    const Occurrence occurrence{"run-finished",
                                microseconds(CLOCK_REALTIME),
                                run.id,
                                {{"run", run.id},
                                 {"capsule", run.request.capsule},
                                 {"outcome", outcome},
                                 {"exit-code", std::to_string(run.report.exitCode)},
                                 {"target", run.target}}};
    const auto target = parts_.targets.resolve(run.target);
    if (!target) return skip(armed, run.target, occurrence, "the target of run " + run.id + " is gone: " + target.error().message);
    if (matches(armed.selection, **target)) happened(armed, *target, occurrence);
}

void Events::skip(const ArmedEvent& armed, const std::string& target, const Occurrence& occurrence, const std::string& why) {
    RunRequest request;
    request.capsule = armed.capsule;
    request.target = target;
    request.trigger = Trigger::Event;
    request.occurrence = std::make_shared<const Occurrence>(occurrence);
    if (const auto skipped = parts_.runs.skip(std::move(request), why); !skipped)
        std::fprintf(stderr, SD_WARNING "event %s of capsule '%s' started nothing (%s), and that can't be written down: %s\n",
                     occurrence.on.c_str(), armed.capsule.c_str(), why.c_str(), skipped.error().message.c_str());
}

bool Events::isRecorded(const std::string& capsule, const std::string& target, std::uint64_t since, const Occurrence& occurrence) const {
    RunFilter filter;
    filter.capsule = capsule;
    filter.target = target;
    filter.since = since;
    filter.limit = kMostRows;
    const auto page = parts_.runs.list(filter);
    if (!page) return true;  // better not at all than twice
    return std::ranges::any_of(page->runs, [&](const RunRecord& run) {
        const auto& known = run.request.occurrence;
        return known && known->on == occurrence.on && known->cause == occurrence.cause;
    });
}

// The ledger knows what was acted on; the rest happened while recapd was away.
void Events::catchUp() {
    const auto armed = armed_;
    for (const auto& one : armed) {
        if (one.event.on == "run-finished") catchUpChain(one);
        if (one.event.on != "target-start") continue;
        for (const Target* target : parts_.targets.list()) {
            const std::uint64_t started = realTimeOf(target->startTime);
            if (target->pid <= 0 || started < one.since || !matches(one.selection, *target)) continue;
            const auto occurrence = startOccurrence(*target);
            const bool isNew = fireOnce(one, {target->pid, target->startTime});
            if (!isNew || isRecorded(one.capsule, target->id.text(), started - 1'000'000, occurrence)) continue;
            if (one.missed == Missed::RunOnce)
                happened(one, target, occurrence);
            else
                skip(one, target->id.text(), occurrence, "it started while recapd was away, and schedule.missed says skip");
        }
    }
}

void Events::catchUpChain(const ArmedEvent& armed) {
    RunFilter filter;
    filter.capsule = armed.event.capsule;
    filter.since = std::max(armed.since, microseconds(CLOCK_REALTIME) - kChainUsec);
    filter.limit = kMostRows;
    const auto page = parts_.runs.list(filter);
    if (!page) return;
    for (auto run = page->runs.rbegin(); run != page->runs.rend(); ++run) {
        Occurrence occurrence;
        occurrence.on = "run-finished";
        occurrence.cause = run->id;
        if (run->state != RunState::Finished || isRecorded(armed.capsule, {}, run->started, occurrence)) continue;
        if (armed.missed == Missed::RunOnce)
            chain(armed, *run);
        else
            skip(armed, run->target, occurrence, "run " + run->id + " finished while recapd was away, and schedule.missed says skip");
    }
}

void Events::tell(const std::vector<Throttle::Missed>& missed) {
    for (const auto& one : missed) {
        const auto armed = std::ranges::find_if(
            armed_, [&](const ArmedEvent& event) { return event.capsule == one.key.capsule && event.index == one.key.event; });
        if (armed == armed_.end()) continue;
        std::string why;
        if (one.inCooldown != 0)
            why = std::to_string(one.inCooldown) + " more came within the cooldown of " + seconds(armed->event.cooldown);
        if (one.overRate != 0)
            why += (why.empty() ? "" : "; ") + std::to_string(one.overRate) + " were more than recapd starts of all events in a second";
        skip(ArmedEvent(*armed), one.key.target, {armed->event.on, microseconds(CLOCK_REALTIME), {}, {}}, why);
    }
}

void Events::tellMissed() {
    tell(throttle_.missed(parts_.now()));
    tellLater();
}

void Events::tellLater() {
    const auto next = throttle_.next();
    if (!next) return;
    sd_event_source_set_time(tell_.get(), *next);
    sd_event_source_set_enabled(tell_.get(), SD_EVENT_ONESHOT);
}

int Events::onTell(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Events*>(self)->tellMissed();
    return 0;
}

std::string chainLoop(const CapsuleInfo& changed, const std::vector<const CapsuleInfo*>& capsules) {
    std::map<std::string, const CapsuleInfo*> byName;
    for (const CapsuleInfo* capsule : capsules) byName[capsule->name] = capsule;
    byName[changed.name] = &changed;
    // From what is waited for to who waits: a depth-first walk against the arrows, which ends where it began.
    std::vector<std::string> path;
    std::set<std::string> seen;
    const std::function<bool(const std::string&)> leadsBack = [&](const std::string& name) {
        const auto found = byName.find(name);
        if (found == byName.end() || !seen.insert(name).second) return false;
        path.push_back(name);
        for (const auto& event : found->second->schedule.events) {
            if (event.on != "run-finished") continue;
            if (event.capsule == changed.name || leadsBack(event.capsule)) return true;
        }
        path.pop_back();
        return false;
    };
    if (!leadsBack(changed.name)) return {};
    std::string text = changed.name;
    for (auto it = path.rbegin(); it != path.rend(); ++it) text += " -> " + *it;
    return text;
}

}  // namespace recap
