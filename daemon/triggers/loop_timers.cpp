// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/loop_timers.hpp"

#include <algorithm>
#include <vector>

#include "daemon/core/stable_hash.hpp"

namespace recap {
namespace {

using Usec = std::chrono::microseconds;

constexpr std::uint64_t kAccuracyUsec = 100'000;

std::uint64_t count(Usec duration) { return static_cast<std::uint64_t>(duration.count()); }

}  // namespace

Usec firstWait(const Beat& beat, std::uint64_t last, std::uint64_t now) {
    const std::uint64_t every = count(beat.every);
    const std::uint64_t before = std::max(last, beat.since);
    if (before > now) return beat.every;  // the clock was set back
    const std::uint64_t due = before + every + (last == 0 ? count(beat.delay) : 0);
    if (due > now) return Usec(due - now);
    if (beat.missed == Missed::RunOnce) return beat.delay;
    return Usec(every - (now - due) % every);
}

Usec hostsShare(Usec most, std::string_view machineId, std::string_view capsule) {
    const std::uint64_t hash = stableHash(std::string(machineId) + "/" + std::string(capsule));
    return Usec(hash % (count(most) + 1));
}

Result<std::unique_ptr<LoopTimers>> LoopTimers::create(sd_event* loop, Due due) {
    std::unique_ptr<LoopTimers> timers(new LoopTimers(std::move(due)));
    sd_event_source* source = nullptr;
    const int error = sd_event_add_time(loop, &source, CLOCK_BOOTTIME, 0, kAccuracyUsec, onTime, timers.get());
    if (error < 0) return failErrno("the loop's own timers", -error);
    timers->timer_.reset(source);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return timers;
}

void LoopTimers::keep(const std::map<std::string, Wanted>& wanted) {
    std::erase_if(kept_, [&](const auto& one) { return !wanted.contains(one.first); });
    const std::uint64_t uptime = microseconds(CLOCK_BOOTTIME), now = microseconds(CLOCK_REALTIME);
    for (const auto& [name, want] : wanted) {
        const auto [kept, isNew] = kept_.try_emplace(name);
        if (!isNew && kept->second.beat == want.beat) continue;
        kept->second = {want.beat, uptime + count(firstWait(want.beat, want.last, now))};
    }
    arm();
}

std::uint64_t LoopTimers::next(const std::string& name) const {
    const auto kept = kept_.find(name);
    if (kept == kept_.end()) return 0;
    return microseconds(CLOCK_REALTIME) + kept->second.due - microseconds(CLOCK_BOOTTIME);
}

void LoopTimers::arm() {
    if (kept_.empty()) {
        sd_event_source_set_enabled(timer_.get(), SD_EVENT_OFF);
        return;
    }
    const auto soonest = std::ranges::min_element(kept_, {}, [](const auto& one) { return one.second.due; });
    sd_event_source_set_time(timer_.get(), soonest->second.due);
    sd_event_source_set_enabled(timer_.get(), SD_EVENT_ONESHOT);
}

// Turns that passed while this machine was busy or suspended are one.
void LoopTimers::tick() {
    const std::uint64_t now = microseconds(CLOCK_BOOTTIME);
    std::vector<std::string> due;
    for (auto& [name, kept] : kept_) {
        if (kept.due > now) continue;
        due.push_back(name);
        const std::uint64_t every = count(kept.beat.every);
        kept.due += every * ((now - kept.due) / every + 1);
    }
    arm();
    for (const auto& name : due) due_(name);
}

int LoopTimers::onTime(sd_event_source*, std::uint64_t, void* self) {
    static_cast<LoopTimers*>(self)->tick();
    return 0;
}

}  // namespace recap
