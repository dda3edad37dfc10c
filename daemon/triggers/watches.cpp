// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/watches.hpp"

#include <algorithm>

#include "daemon/core/process.hpp"

namespace recap {
namespace {

constexpr int kATurn = 16;  // watches; then it is others' turn
constexpr std::uint64_t kRoomUsec = 1'000'000;
constexpr int kAfterAllElse = SD_EVENT_PRIORITY_NORMAL + 50;

bool isWatchedFor(const ArmedEvent& armed) {
    return armed.event.on == "oom" || armed.event.on == "pressure" || armed.event.on == "file-changed";
}

}  // namespace

Result<std::unique_ptr<Watches>> Watches::create(const WatchParts& parts) {
    std::unique_ptr<Watches> watches(new Watches(parts));
    sd_event_source* source = nullptr;
    const int error = sd_event_add_time(parts.loop, &source, CLOCK_MONOTONIC, 0, 10'000, onTime, watches.get());
    if (error < 0) return failErrno("the watches' timer", -error);
    watches->timer_.reset(source);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    sd_event_source_set_priority(source, kAfterAllElse);
    return watches;
}

// Who is still asked holds the watch, which must not call here any more.
Watches::~Watches() {
    for (const auto& [key, watch] : watches_) watch->source.reset();
}

// One whose schedule says something else now is another one.
void Watches::refresh() {
    armed_.clear();
    for (const auto& armed : parts_.events.armed())
        if (isWatchedFor(armed)) armed_.push_back(std::make_shared<const ArmedEvent>(armed));
    std::map<Event, Armed> byEvent;
    for (const auto& armed : armed_) byEvent[{armed->capsule, armed->index}] = armed;
    const auto targets = parts_.targets.list();
    std::map<TargetId, const Target*> byId;
    for (const Target* target : targets) byId[target->id] = target;
    std::vector<Shared> unwanted;
    for (const auto& [key, watch] : watches_) {
        const auto armed = byEvent.find({key.capsule, key.event});
        const auto target = byId.find(key.target);
        if (armed == byEvent.end() || target == byId.end() || armed->second->event != watch->armed->event ||
            !matches(armed->second->selection, *target->second))
            unwanted.push_back(watch);
        else
            watch->armed = armed->second;
    }
    for (const auto& watch : unwanted) drop(*watch);
    for (auto& [event, trouble] : troubles_) trouble.beyond.clear();
    std::erase_if(troubles_, [](const auto& one) { return one.second.on.empty(); });
    crowded_ = false;
    room_ = 0;
    for (const auto& armed : armed_)
        for (const Target* target : targets)
            if (matches(armed->selection, *target)) add(armed, target->id);
}

void Watches::targetAdded(const Target& target) {
    for (const auto& armed : armed_)
        if (matches(armed->selection, target)) add(armed, target.id);
}

// What selects it no more lets go of it. What had come in a cooldown by then is told all the same.
void Watches::targetChanged(const Target& target) {
    leave(target.id);
    for (const auto& watch : ofTarget(target.id)) {
        if (matches(watch->armed->selection, target)) continue;
        if (watch->cool != 0) {
            watch->heard.add(watch->reader->read(0));
            cameInCooldown(*watch);
        }
        drop(*watch);
    }
    targetAdded(target);
}

// Of those for which there was no room.
void Watches::leave(const TargetId& target) {
    for (auto& [event, trouble] : troubles_) trouble.beyond.erase(target);
    std::erase_if(troubles_, [](const auto& one) { return one.second.on.empty() && one.second.beyond.empty(); });
}

std::vector<Watches::Shared> Watches::ofTarget(const TargetId& id) const {
    std::vector<Shared> of;
    for (auto at = watches_.lower_bound({id, {}, 0}); at != watches_.end() && at->first.target == id; ++at) of.push_back(at->second);
    return of;
}

void Watches::targetRemoved(const TargetId& id) {
    leave(id);
    for (const auto& watch : ofTarget(id)) {
        const bool hasEnded = watch->pidfd && ended(*watch->pidfd);
        tellLast(*watch, hasEnded ? "the target has ended, so there is nothing to attach to" : "no backend tells of the target any more");
        if (hasEnded) parts_.events.forgetKills(watch->life);
        if (!watch->dropped) drop(*watch);
    }
}

void Watches::tellAll() {
    std::vector<Shared> all;
    for (const auto& [key, watch] : watches_) all.push_back(watch);
    for (const auto& watch : all)
        if (!watch->dropped) tellLast(*watch, "recapd ended before it was acted on");
}

void Watches::add(const Armed& armed, const TargetId& target) {
    const Key key{target, armed->capsule, armed->index};
    if (watches_.contains(key)) return;
    if (watches_.size() >= kMost) {
        crowded_ = true;
        troubles_[{key.capsule, key.event}].beyond.insert(target);
        return;
    }
    const Shared& watch = watches_[key] = std::make_shared<Watch>();
    watch->watches = this;
    watch->key = key;
    watch->armed = armed;
    ask(*watch);
}

void Watches::drop(Watch& watch) {
    const Shared held = watch.shared_from_this();
    watch.dropped = true;
    close(watch);
    schedule(watch, Doing::Waiting, 0);
    forget(watch.key);
    watches_.erase(watch.key);
    if (!crowded_ || room_ != 0) return;
    room_ = parts_.now() + kRoomUsec;
    armTimer();
}

void Watches::close(Watch& watch) {
    watch.source.reset();
    if (watch.reader && watch.reader->opened().id != 0) parts_.launcher.unwatch(watch.reader->opened().id);
    watch.reader.reset();
    watch.cool = 0;
}

void Watches::schedule(Watch& watch, Doing doing, std::uint64_t due) {
    watch.doing = doing;
    if (watch.due == due) return;
    if (watch.due != 0) due_.erase({watch.due, &watch});
    watch.due = due;
    if (due != 0) due_.emplace(due, &watch);
    armTimer();
}

void Watches::armTimer() {
    std::uint64_t next = room_;
    if (!due_.empty() && (next == 0 || due_.begin()->first < next)) next = due_.begin()->first;
    const std::uint64_t now = parts_.now();
    if (next != 0) sd_event_source_set_time_relative(timer_.get(), next > now ? next - now : 0);
    sd_event_source_set_enabled(timer_.get(), next == 0 ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

void Watches::tick() {
    const std::uint64_t now = parts_.now();
    for (int i = 0; i < kATurn && !due_.empty() && due_.begin()->first <= now; ++i) {
        const Shared watch = due_.begin()->second->shared_from_this();
        schedule(*watch, watch->doing, 0);
        turn(*watch);
    }
    if (room_ != 0 && room_ <= now) refresh();
    armTimer();
}

void Watches::turn(Watch& watch) {
    switch (watch.doing) {
        case Doing::Waiting: return ask(watch);
        case Doing::Listening:
        case Doing::Settling:
        case Doing::Reading: return readOn(watch, 0);
        case Doing::Resting: return watch.cool != 0 && watch.cool <= parts_.now() ? readOn(watch, 0) : listen(watch);
        case Doing::Asking: return;
    }
}

int Watches::onTime(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Watches*>(self)->tick();
    return 0;
}

}  // namespace recap
