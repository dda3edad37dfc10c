// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/events.hpp"

#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ranges>

#include "daemon/core/process.hpp"

namespace recap {
namespace {

constexpr std::size_t kFired = 20'000;               // target starts and stops that are remembered
constexpr std::size_t kLeaving = 4096;               // targets at a time whose end is waited for
constexpr std::uint64_t kAllWordsUsec = 60'000'000;  // after its start a target is told of by all its words
constexpr std::size_t kToldApart = 16;               // targets of one event in a second, beyond which one row is for all of them

std::string seconds(std::chrono::microseconds time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

std::string whyMissed(const ArmedEvent& armed, const Throttle::Missed& missed) {
    std::string why;
    if (missed.inCooldown != 0)
        why = std::to_string(missed.inCooldown) + " more came within the cooldown of " + seconds(armed.event.cooldown);
    if (missed.overRate != 0)
        why += (why.empty() ? "" : "; ") + std::to_string(missed.overRate) + " were more than recapd starts of all events in a second";
    return why;
}

// The next recapd looks for each of these by itself, and so each has its own row where it starts nothing.
bool isMadeUpFor(const std::string& on) { return on == "target-start" || on == "target-stop" || on == "run-finished" || on == "oom"; }

}  // namespace

std::uint64_t realTimeOf(std::uint64_t ticks) {
    static const auto hertz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return microseconds(CLOCK_REALTIME) - microseconds(CLOCK_BOOTTIME) + ticks * (1'000'000 / hertz);
}

Result<std::unique_ptr<Events>> Events::create(const EventParts& parts) {
    std::unique_ptr<Events> events(new Events(parts));
    for (const auto& [owner, handler] : {std::pair{&events->tell_, &onTell}, {&events->pace_, &onPace}, {&events->keep_, &onKeep}})
        if (auto added = events->addTimer(*owner, handler); !added) return forward(std::move(added));
    events->recall();
    return events;
}

Events::~Events() {
    int enabled = SD_EVENT_OFF;
    if (keep_ && sd_event_source_get_enabled(keep_.get(), &enabled) >= 0 && enabled != SD_EVENT_OFF) keepKnown();
}

Result<void> Events::addTimer(EventSource& into, sd_event_time_handler_t handler) {
    sd_event_source* source = nullptr;
    const int error = sd_event_add_time(parts_.loop, &source, CLOCK_MONOTONIC, 0, 20'000, handler, this);
    if (error < 0) return failErrno("the events' timer", -error);
    into.reset(source);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return {};
}

const ArmedEvent* Events::Armed::find(const std::string& capsule, std::size_t index) const {
    const auto found = std::ranges::find_if(all, [&](const ArmedEvent& event) { return event.capsule == capsule && event.index == index; });
    return found == all.end() ? nullptr : &*found;
}

void Events::refresh() {
    const auto now = std::make_shared<Armed>();
    std::map<std::pair<std::string_view, std::size_t>, const EventSchedule*> events;
    for (const CapsuleInfo* capsule : parts_.capsules.list()) {
        const std::uint64_t since = parts_.armedSince(*capsule);
        if (since == 0) continue;
        for (std::size_t i = 0; i < capsule->schedule.events.size(); ++i) {
            now->all.push_back({capsule->name, i, capsule->schedule.events[i], capsule->selection, capsule->schedule.missed, since});
            events[{capsule->name, i}] = &capsule->schedule.events[i];
        }
    }
    for (const auto& one : now->all) {
        if (one.event.on == "target-start") now->starts.push_back(&one);
        if (one.event.on == "target-stop") now->stops.push_back(&one);
        if (one.event.on == "run-finished") now->chains[one.event.capsule].push_back(&one);
    }
    // Told by what they were armed as, before that is forgotten.
    for (const auto& old : armed_->all) {
        const auto found = events.find({old.capsule, old.index});
        if (found == events.end() || *found->second != old.event) tell(throttle_.forgetCapsule(old.capsule));
    }
    armed_ = now;
    if (begun_ != 0) {
        const auto isOom = [](const ArmedEvent& one) { return one.event.on == "oom"; };
        std::set<std::string_view> ooms;
        for (const auto& one : now->all | std::views::filter(isOom)) ooms.insert(one.capsule);
        std::erase_if(kills_, [&](const auto& one) { return !ooms.contains(one.first.second); });
    }
    known_.clear();
    for (const Target* target : parts_.targets.list()) know(*target);
    keepLater();
}

void Events::happened(const ArmedEvent& armed, const Target* target, Occurrence occurrence) {
    if (target == nullptr) return act(armed, {}, {}, occurrence);
    act(armed, target->id.text(), {target->id}, occurrence);
}

std::uint64_t Events::coolsUntil(const ArmedEvent& armed, const TargetId& target) const {
    return throttle_.until({armed.capsule, armed.index, target.text()});
}

void Events::cameInCooldown(const ArmedEvent& armed, const TargetId& target, std::uint64_t count, const std::string& cause) {
    throttle_.came({armed.capsule, armed.index, target.text()}, count, parts_.now(), cause);
    tellLater();
}

void Events::act(const ArmedEvent& armed, const std::string& about, const std::vector<TargetId>& on, const Occurrence& occurrence) {
    const auto cooldown = static_cast<std::uint64_t>(armed.event.cooldown.count());
    const Throttle::Key key{armed.capsule, armed.index, about};
    if (!throttle_.pass(key, cooldown, parts_.now(), occurrence.cause)) return tellLater();
    const auto capsule = parts_.capsules.find(armed.capsule);
    if (!capsule) return;
    const auto batch = parts_.fire(**capsule, occurrence, on);
    if (batch) return;
    throttle_.undo(key);  // nothing has started: the next one may
    skip(armed, about, occurrence, batch.error().message);
}

// What starts before begin() was there before, and is looked at there. One that is told of anew has not started anew.
void Events::targetAdded(const Target& target) {
    know(target);
    if (begun_ == 0 || armed_->starts.empty() || wasSeen(target)) return;
    keepLater();
    if (wasBefore(target)) {
        toLookAt_.push_back(target.id);
        return makeUpLater();
    }
    startOf(target);
}

// A backend may tell of one by its pid first, and by its labels once it knows them. Long after its start, one has not started.
void Events::targetChanged(const Target& target) {
    know(target);
    if (begun_ != 0 && !wasBefore(target) && microseconds(CLOCK_REALTIME) < realTimeOf(target.startTime) + kAllWordsUsec) startOf(target);
}

void Events::startOf(const Target& target) {
    const auto armed = armed_;
    for (const auto* one : armed->starts)
        if (matches(one->selection, target)) startOf(*one, target);
}

// A better backend may tell of it once more, by another name: a start is a process's.
void Events::startOf(const ArmedEvent& armed, const Target& target) {
    if (target.pid <= 0 || realTimeOf(target.startTime) + 1'000'000 < armed.since) return;
    if (fireOnce(armed, {target.pid, target.startTime})) happened(armed, &target, ofStart(target));
}

std::string Events::lifeOf(const Target& target) const {
    return parts_.boot + " " + std::to_string(target.pid) + " " + std::to_string(target.startTime);
}

Occurrence Events::ofStart(const Target& target) const {
    return {"target-start", microseconds(CLOCK_REALTIME), lifeOf(target), {{"target", target.id.text()}, {"name", target.name}}};
}

Occurrence Events::ofStop(const TargetId& id, const Known& known, const std::string& boot) {
    return {"target-stop",
            microseconds(CLOCK_REALTIME),
            boot + " " + id.text() + " " + std::to_string(known.life.startTime),
            {{"target", id.text()}, {"name", known.name}}};
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
    if (target.pid <= 0) return;  // it does not run
    Known known{{target.pid, target.startTime}, target.name, {}};
    if (!leaving_.empty()) std::erase_if(leaving_, [&](const Leaving& leaving) { return leaving.known.life == known.life; });
    for (const auto* one : armed_->stops)
        if (matches(one->selection, target)) known.stops.emplace(one->capsule, one->index);
    const bool wasKnown = known_.erase(target.id) != 0;
    if (!known.stops.empty()) known_[target.id] = std::move(known);
    if (wasKnown || known_.contains(target.id)) keepLater();
}

// Its backend may be gone, or a better one tell of it: it has stopped where its process has.
void Events::targetRemoved(const TargetId& id) {
    tell(throttle_.forgetTarget(id.text()));
    auto node = known_.extract(id);
    keepLater();
    if (node.empty() || begun_ == 0) return;
    const Life life = node.mapped().life;
    if (std::ranges::any_of(known_, [&](const auto& one) { return one.second.life == life; })) return;  // known by another name
    auto pinned = pinProcess(life.pid);
    if (!pinned || pinned->startTime != life.startTime || ended(pinned->pidfd)) return stopOf(id, node.mapped());
    waitForEnd(id, std::move(node.mapped()), std::move(pinned->pidfd));
}

// Until then, or somebody tells of it again.
void Events::waitForEnd(const TargetId& id, Known known, UniqueFd pidfd) {
    leaving_.push_front({this, id, std::move(known), std::move(pidfd), {}, {}});
    Leaving& leaving = leaving_.front();
    leaving.self = leaving_.begin();
    sd_event_source* end = nullptr;
    if (leaving_.size() <= kLeaving && sd_event_add_io(parts_.loop, &end, leaving.pidfd.get(), EPOLLIN, onEnd, &leaving) >= 0) {
        leaving.end.reset(end);
        return;
    }
    const Leaving unheard = std::move(leaving);
    leaving_.pop_front();
    const auto armed = armed_;
    for (const auto* one : armed->stops)
        if (unheard.known.stops.contains({one->capsule, one->index}))
            skip(*one, id.text(), ofStop(id, unheard.known, parts_.boot),
                 "no backend tells of it any more, and recapd waits for the end of " + std::to_string(kLeaving) +
                     " such processes already: it does not hear when this one ends");
}

int Events::onEnd(sd_event_source*, int, std::uint32_t, void* self) {
    Leaving& leaving = *static_cast<Leaving*>(self);
    Events& events = *leaving.events;
    const TargetId id = leaving.id;
    const Known known = std::move(leaving.known);
    events.leaving_.erase(leaving.self);
    events.keepLater();
    events.stopOf(id, known);
    return 0;
}

// There is nothing to attach to any more: the capsule runs on what it selects of the others.
void Events::stopOf(const TargetId& id, const Known& known) {
    const auto armed = armed_;
    for (const auto* one : armed->stops)
        if (known.stops.contains({one->capsule, one->index}) && fireOnce(*one, known.life))
            act(*one, id.text(), {}, ofStop(id, known, parts_.boot));
}

void Events::finished(const RunReport& report) {
    if (begun_ == 0) return;
    const RunRecord* run = parts_.runs.find(report.id);
    if (run == nullptr) return;
    if (!toLookBack_.empty()) finished_.insert(run->id);
    const auto armed = armed_;
    const auto chains = armed->chains.find(run->request.capsule);
    if (chains == armed->chains.end()) return;
    const EndedRun ended{run->id, run->target, run->report.outcome, run->report.exitCode};
    for (const auto* one : chains->second) chain(OneArmed(armed, one), ended, false);
}

// What has not run has not finished, but where that is asked for: who may not run something is refused, and starts nothing by that.
bool hasRun(Outcome outcome) {
    return outcome != Outcome::Skipped && outcome != Outcome::Denied && outcome != Outcome::NotStarted && outcome != Outcome::TargetGone;
}

void Events::chain(const OneArmed& held, const EndedRun& run, bool isLate) {
    const ArmedEvent& armed = *held;
    const std::string outcome(name(run.outcome));
    if (armed.event.outcome.empty() ? !hasRun(run.outcome) : armed.event.outcome != outcome) return;
    const Occurrence occurrence{"run-finished",
                                microseconds(CLOCK_REALTIME),
                                run.id,
                                {{"run", run.id},
                                 {"capsule", armed.event.capsule},
                                 {"outcome", outcome},
                                 {"exit-code", std::to_string(run.exitCode)},
                                 {"target", run.target}}};
    const auto target = parts_.targets.resolve(run.target);
    if (!target) return skip(armed, run.target, occurrence, "the target of run " + run.id + " is gone: " + target.error().message);
    if (!matches(armed.selection, **target)) return;
    if (!isLate) return happened(armed, *target, occurrence);
    late(held, (*target)->id.text(), {(*target)->id}, occurrence, "run " + run.id + " finished");
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

void Events::tell(const std::vector<Throttle::Missed>& missed) {
    if (missed.empty()) return;
    std::map<std::pair<std::string, std::size_t>, std::vector<const Throttle::Missed*>> byEvent;
    for (const auto& one : missed) byEvent[{one.key.capsule, one.key.event}].push_back(&one);
    const auto armed = armed_;
    for (const auto& [key, of] : byEvent) {
        const ArmedEvent* event = armed->find(key.first, key.second);
        if (event == nullptr) continue;
        if (of.size() <= kToldApart || isMadeUpFor(event->event.on)) {
            for (const auto* one : of)
                skip(*event, one->key.target, {event->event.on, microseconds(CLOCK_REALTIME), one->cause, {}}, whyMissed(*event, *one));
            continue;
        }
        Throttle::Missed all;
        for (const auto* one : of) all.inCooldown += one->inCooldown, all.overRate += one->overRate;
        skip(*event, {}, {event->event.on, microseconds(CLOCK_REALTIME), {}, {}},
             "on " + std::to_string(of.size()) + " targets: " + whyMissed(*event, all));
    }
}

void Events::tellMissed() {
    tell(throttle_.missed(parts_.now()));
    tellLater();
}

void Events::tellAll() { tell(throttle_.missed(UINT64_MAX)); }

void Events::tellLater() {
    const auto next = throttle_.next();
    if (!next) return;
    const std::uint64_t now = parts_.now();
    sd_event_source_set_time_relative(tell_.get(), *next > now ? *next - now : 0);
    sd_event_source_set_enabled(tell_.get(), SD_EVENT_ONESHOT);
}

int Events::onTell(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Events*>(self)->tellMissed();
    return 0;
}

}  // namespace recap
