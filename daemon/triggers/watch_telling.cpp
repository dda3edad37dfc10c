// SPDX-License-Identifier: Apache-2.0
// From what a descriptor tells to an event: how much of it is read, when, and what a capsule is told.
#include <algorithm>
#include <charconv>

#include "daemon/core/escaped.hpp"
#include "daemon/core/process.hpp"
#include "daemon/triggers/watches.hpp"

namespace recap {
namespace {

constexpr int kAfterAllElse = SD_EVENT_PRIORITY_NORMAL + 50;
constexpr std::uint64_t kSettleUsec = 100'000;  // one change of a file is several records
constexpr std::uint64_t kRestUsec = 250'000;    // from one look to the next, at least
constexpr std::uint64_t kRecordUsec = 100;      // likewise, for each that was read: 10,000 in a second
constexpr std::uint64_t kMostRecords = 20'000;  // that are read as one
constexpr std::uint32_t kMostRows = 1000;

std::string text(std::chrono::microseconds time) { return std::to_string(time.count()); }

std::string causeOf(const Heard& heard, const std::string& life, std::uint64_t when) {
    return heard.total > 0 ? life + " " + std::to_string(heard.total) : std::to_string(when);
}

}  // namespace

// recap-launcher looks into a folder as root: its names are for a run that could look there as well, and for whom it runs.
bool Watches::maySeeEntries(const std::string& capsule) const {
    const auto found = parts_.capsules.find(capsule);
    return found && (*found)->view != "none" && (*found)->enabled && (*found)->enabling.uid == 0;
}

Occurrence Watches::occurrenceOf(const Watch& watch, const Heard& heard) const {
    const EventSchedule& event = watch.armed->event;
    Occurrence occurrence{event.on, microseconds(CLOCK_REALTIME), {}, {}};
    occurrence.cause = causeOf(heard, watch.life, occurrence.when);
    auto& facts = occurrence.facts;
    if (event.on == "oom") {
        facts = {{"kills", std::to_string(heard.count)}};
    } else if (event.on == "pressure") {
        facts = {{"resource", event.resource}};
        if (const auto& reader = watch.reader)
            facts.insert({{"stall", text(reader->opened().stall)}, {"window", text(reader->opened().window)}});
    } else {
        facts = {{"path", event.path}, {"changes", std::to_string(heard.count)}};
        if (const auto words = changeWords(heard.what); !words.empty()) facts["what"] = words;
        if (!heard.entry.empty() && maySeeEntries(watch.key.capsule)) facts["entry"] = escaped(heard.entry);
    }
    return occurrence;
}

void Watches::listen(Watch& watch) {
    schedule(watch, Doing::Listening, watch.cool);
    if (watch.source) {
        sd_event_source_set_enabled(watch.source.get(), SD_EVENT_ON);
        return;
    }
    sd_event_source* source = nullptr;
    const int error = sd_event_add_io(parts_.loop, &source, watch.reader->opened().fd.get(), watch.reader->waitsFor(), onIo, &watch);
    if (error < 0) {
        close(watch);
        return refused(watch, failErrno("listen to a watch", -error).value());
    }
    watch.source.reset(source);
    sd_event_source_set_priority(source, kAfterAllElse);
}

void Watches::silence(Watch& watch) {
    if (watch.source) sd_event_source_set_enabled(watch.source.get(), SD_EVENT_OFF);
}

// In a cooldown, a counter counts by itself and is looked at once, after it. Records of a file take the kernel's memory for as long as
// nobody reads them, and are read as ever; they are told when it ends.
void Watches::rest(Watch& watch, std::uint64_t records) {
    silence(watch);
    const std::uint64_t now = parts_.now();
    const std::uint64_t due = now + std::max(kRestUsec, records * kRecordUsec);
    if (watch.cool <= now) watch.cool = parts_.events.coolsUntil(*watch.armed, watch.key.target);
    if (watch.cool <= now) watch.cool = 0;
    schedule(watch, Doing::Resting, watch.isFile() ? beforeCool(watch, due) : std::max(due, watch.cool));
}

// What comes after a cooldown is none of it.
std::uint64_t Watches::beforeCool(const Watch& watch, std::uint64_t due) { return watch.cool == 0 ? due : std::min(due, watch.cool); }

int Watches::onIo(sd_event_source*, int, std::uint32_t events, void* self) {
    const Shared watch = static_cast<Watch*>(self)->shared_from_this();
    watch->watches->hear(*watch, events);
    return 0;
}

void Watches::hear(Watch& watch, std::uint32_t events) {
    if (watch.reader->opened().form != WatchForm::Changes) return readOn(watch, events);
    silence(watch);
    schedule(watch, Doing::Settling, beforeCool(watch, parts_.now() + kSettleUsec));
}

void Watches::readOn(Watch& watch, std::uint32_t events) {
    watch.heard.add(watch.reader->read(events));
    if (!watch.heard.more || watch.heard.records >= kMostRecords) return act(watch);
    silence(watch);
    schedule(watch, Doing::Reading, parts_.now());
}

void Watches::act(Watch& watch) {
    const bool anew = watch.heard.gone || watch.heard.moved;
    const std::uint64_t records = watch.heard.records;
    if (watch.cool > parts_.now()) {
        watch.heard.records = 0;
        return rest(watch, records);
    }
    if (std::exchange(watch.cool, 0) != 0)
        cameInCooldown(watch);
    else if (!watch.isFile() || !anew)
        tell(watch, std::exchange(watch.heard, {}));
    if (watch.dropped) return;
    if (anew) return askAnew(watch);
    // A trigger is pulled once in its window at most, and turning away from it would lose that.
    if (watch.reader->opened().form == WatchForm::Trigger) return listen(watch);
    rest(watch, records);
}

void Watches::cameInCooldown(Watch& watch) {
    const Heard heard = std::exchange(watch.heard, {});
    actedOn(watch, heard.total);
    parts_.events.cameInCooldown(*watch.armed, watch.key.target, heard.count, causeOf(heard, watch.life, microseconds(CLOCK_REALTIME)));
}

void Watches::actedOn(const Watch& watch, std::uint64_t total) {
    if (watch.counts()) parts_.events.actedOnKills(watch.life, watch.key.capsule, total);
}

// Of a counter nobody knows why it has counted, once the target has ended: its cgroup has gone as well.
void Watches::tell(Watch& watch, const Heard& heard) {
    if (heard.count == 0) return;
    actedOn(watch, heard.total);
    const Armed armed = watch.armed;
    const auto occurrence = occurrenceOf(watch, heard);
    if (watch.pidfd && ended(*watch.pidfd)) {
        if (watch.counts())
            parts_.events.skip(*armed, watch.key.target.text(), occurrence, "the target has ended, so there is nothing to attach to");
        return;
    }
    if (const auto target = parts_.targets.resolve(watch.key.target.text())) parts_.events.happened(*armed, *target, occurrence);
}

// Between the target's start and the first look at it, or while recapd was away.
void Watches::tellEarlier(Watch& watch, std::uint64_t total) {
    const std::uint64_t before = total == 0 ? 0 : killsActedOn(watch, total);
    actedOn(watch, total);
    if (before >= total) return;
    const Heard heard{.count = total - before, .total = total};
    if (watch.armed->missed == Missed::RunOnce) return tell(watch, heard);
    parts_.events.skip(*watch.armed, watch.key.target.text(), occurrenceOf(watch, heard),
                       "it came before the target was watched, and schedule.missed says skip");
}

// The ledger knows the last one, or where its row is gone what the recapd of before has kept. Without any, all are this event's where it
// was there before the target, and else none.
std::uint64_t Watches::killsActedOn(const Watch& watch, std::uint64_t total) const {
    const std::uint64_t started = realTimeOf(watch.startTime);
    RunFilter filter;
    filter.capsule = watch.key.capsule;
    filter.trigger = name(Trigger::Event);
    // What came while it was disabled is none of its. Else a life is its own bound, while the clock may have been set since.
    if (started < watch.armed->since) filter.since = watch.armed->since;
    filter.limit = kMostRows;
    std::optional<std::uint64_t> most = parts_.events.killsActedOn(watch.life, watch.key.capsule);
    if (most.value_or(0) >= total) return total;
    const auto page = parts_.runs.list(filter);
    if (!page) return total;  // better not at all than twice
    for (const auto& run : page->runs) {
        const auto& known = run.request.occurrence;
        if (!known || known->on != "oom" || !known->cause.starts_with(watch.life + " ")) continue;
        const char* end = known->cause.data() + known->cause.size();
        std::uint64_t kills = 0;
        std::from_chars(known->cause.data() + watch.life.size() + 1, end, kills);
        most = std::max(most.value_or(0), kills);
    }
    return most.value_or(started < watch.armed->since ? total : 0);
}

// What killed a container's first process is told before the container is forgotten, and so is what was heard of a file: nobody looks
// for that again, as he does for kills of a target that goes on.
void Watches::tellLast(Watch& watch, const std::string& why) {
    const bool cooling = watch.cool != 0, hasEnded = watch.pidfd && ended(*watch.pidfd);
    const bool unread = watch.isFile() && (watch.doing == Doing::Settling || watch.doing == Doing::Reading);
    if (watch.reader && (cooling || unread || (watch.counts() && hasEnded))) watch.heard.add(watch.reader->read(0));
    if (cooling) return cameInCooldown(watch);
    const Heard heard = std::exchange(watch.heard, {});
    if (watch.counts() && hasEnded) return tell(watch, heard);
    if (!watch.isFile() || heard.count == 0 || changeWords(heard.what).empty()) return;  // that its file system went is no change
    parts_.events.skip(*watch.armed, watch.key.target.text(), occurrenceOf(watch, heard), why);
}

}  // namespace recap
