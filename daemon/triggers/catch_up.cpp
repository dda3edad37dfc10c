// SPDX-License-Identifier: Apache-2.0
// Events while recapd was away. The ledger knows what was acted on, the kept targets which ones there were: what is left is made up
// for once, by and by, beside what happens now; or told as missed.
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "daemon/core/process.hpp"
#include "daemon/triggers/events.hpp"

namespace recap {
namespace {

constexpr std::uint64_t kChainUsec = 600'000'000;  // how long before the last end that is known a run may have ended
constexpr std::uint32_t kMostChained = 20'000;     // runs of one capsule
constexpr std::uint64_t kPaceUsec = 100'000;
constexpr int kBackATime = 4;            // chains whose past is looked at in a turn
constexpr int kAsksATime = 100;          // likewise, that the ledger is asked about targets
constexpr std::size_t kEnoughDue = 500;  // then what is due comes first

std::uint64_t ticks(std::uint64_t usec) {
    static const auto hertz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return usec / (1'000'000 / hertz);
}

}  // namespace

void Events::begin() {
    begun_ = microseconds(CLOCK_REALTIME);
    begunTicks_ = ticks(microseconds(CLOCK_BOOTTIME));
    refresh();
    const auto armed = armed_;
    for (const auto& [capsule, chains] : armed->chains)
        for (const auto* one : chains) toLookBack_.emplace_back(armed, one);
    if (!armed->starts.empty())
        for (const Target* target : parts_.targets.list()) toLookAt_.push_back(target->id);
    for (const auto& [id, known] : std::exchange(before_, {})) lateStop(id, known, bootBefore_);
    keepLater();
    makeUp();
}

// As much as there is room for beside what happens now.
void Events::makeUp() {
    for (int i = 0; i < kBackATime && !toLookBack_.empty() && due_.size() < kEnoughDue; ++i) {
        const OneArmed armed = std::move(toLookBack_.front());
        toLookBack_.pop_front();
        if (isStillArmed(*armed)) lateChains(armed);
    }
    if (toLookBack_.empty()) finished_.clear();
    for (int asked = 0; asked < kAsksATime && !toLookAt_.empty() && due_.size() < kEnoughDue;) {
        const TargetId id = std::move(toLookAt_.front());
        toLookAt_.pop_front();
        asked += lateStarts(id);
    }
    while (!due_.empty() && throttle_.hasRoom(parts_.now())) {
        const Due due = std::move(due_.front());
        due_.pop_front();
        if (isStillArmed(*due.armed)) act(*due.armed, due.about, due.on, due.occurrence);
    }
    makeUpLater();
}

void Events::makeUpLater() {
    if (toLookBack_.empty() && toLookAt_.empty() && due_.empty()) return keepLater();
    sd_event_source_set_time_relative(pace_.get(), kPaceUsec);
    sd_event_source_set_enabled(pace_.get(), SD_EVENT_ONESHOT);
}

bool Events::isStillArmed(const ArmedEvent& armed) const {
    const ArmedEvent* now = armed_->find(armed.capsule, armed.index);
    return now != nullptr && now->since == armed.since && now->event == armed.event;
}

// Those that the recapd of before has looked at are not asked about: the ledger does not keep its rows for ever.
int Events::lateStarts(const TargetId& id) {
    const auto target = parts_.targets.resolve(id.text());
    if (!target || (*target)->id != id || wasSeen(**target)) return 0;
    const auto armed = armed_;
    return static_cast<int>(std::ranges::count_if(armed->starts, [&](const ArmedEvent* one) {
        return matches(one->selection, **target) && lateStart(OneArmed(armed, one), **target);
    }));
}

bool Events::lateStart(const OneArmed& armed, const Target& target) {
    if (target.pid <= 0 || realTimeOf(target.startTime) < armed->since || !fireOnce(*armed, {target.pid, target.startTime})) return false;
    const Occurrence occurrence = ofStart(target);
    if (isNew(*armed, occurrence)) late(armed, target.id.text(), {target.id}, occurrence, "it started");
    return true;
}

// What ends now comes through finished().
void Events::lateChains(const OneArmed& held) {
    const ArmedEvent& armed = *held;
    const std::uint64_t last = parts_.runs.lastEnd();
    const std::uint64_t since = std::max(armed.since, (last == 0 ? begun_ : std::min(last, begun_)) - kChainUsec);
    const auto ended = parts_.runs.unchained(armed.event.capsule, armed.capsule, since, begun_, kMostChained);
    if (!ended) {
        std::fprintf(stderr, SD_ERR "runs of capsule '%s' that '%s' has missed are not known: %s\n", armed.event.capsule.c_str(),
                     armed.capsule.c_str(), ended.error().message.c_str());
        return;
    }
    for (const auto& run : *ended)
        if (!finished_.contains(run.id)) chain(held, run, true);
    if (ended->size() == kMostChained)
        skip(armed, {}, {armed.event.on, microseconds(CLOCK_REALTIME), {}, {}},
             "more than " + std::to_string(kMostChained) + " runs of capsule '" + armed.event.capsule +
                 "' finished while recapd was away, and recapd makes up for so many");
}

bool Events::isNew(const ArmedEvent& armed, const Occurrence& occurrence) const {
    const auto acted = parts_.runs.actedOn(armed.capsule, occurrence, 0);
    if (acted) return !*acted;
    std::fprintf(stderr, SD_ERR "event %s of capsule '%s' (%s) starts nothing, as it may have been acted on: %s\n", occurrence.on.c_str(),
                 armed.capsule.c_str(), occurrence.cause.c_str(), acted.error().message.c_str());
    return false;
}

void Events::late(const OneArmed& armed, const std::string& about, const std::vector<TargetId>& on, const Occurrence& occurrence,
                  const std::string& what) {
    if (armed->missed == Missed::Skip)
        return skip(*armed, about, occurrence, what + " while recapd was away, and schedule.missed says skip");
    due_.push_back({armed, about, on, occurrence});
    makeUpLater();
}

// One whose backend is not there yet may still be running. When a host goes down everything stops, and nobody waits for word of it.
void Events::lateStop(const TargetId& id, const Known& known, const std::string& boot) {
    if (known.life.pid <= 0) return;  // it did not run
    const bool sameBoot = boot == parts_.boot;
    auto pinned = sameBoot ? pinProcess(known.life.pid) : fail(Errc::NotFound, "another boot");
    if (pinned && pinned->startTime == known.life.startTime && !ended(pinned->pidfd)) {
        if (std::ranges::none_of(known_, [&](const auto& one) { return one.second.life == known.life; }))
            waitForEnd(id, known, std::move(pinned->pidfd));
        return;
    }
    const auto armed = armed_;
    for (const auto* one : armed->stops) {
        if (!known.stops.contains({one->capsule, one->index}) || (sameBoot && !fireOnce(*one, known.life))) continue;
        const Occurrence occurrence = ofStop(id, known, boot);
        if (!isNew(*one, occurrence)) continue;
        if (sameBoot)
            late(OneArmed(armed, one), id.text(), {}, occurrence, "it stopped");
        else
            skip(*one, id.text(), occurrence, "it ended with the host, which was started anew");
    }
}

int Events::onPace(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Events*>(self)->makeUp();
    return 0;
}

}  // namespace recap
