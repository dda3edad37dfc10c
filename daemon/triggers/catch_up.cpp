// SPDX-License-Identifier: Apache-2.0
// Events while recapd was away. The ledger knows what was acted on, the kept targets which ones there were: what is left is made up
// for once, by and by, beside what happens now; or told as missed.
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "daemon/core/process.hpp"
#include "daemon/triggers/events.hpp"

namespace recap {
namespace {

constexpr std::uint64_t kChainUsec = 600'000'000;  // how long before the last end that is known a run may have ended
constexpr std::uint32_t kMostChained = 20'000;     // runs of one capsule
constexpr std::uint64_t kPaceUsec = 100'000;
constexpr std::uint64_t kKeepUsec = 250'000;
constexpr int kBackATime = 4;            // events whose past is looked at in a turn
constexpr std::size_t kEnoughDue = 500;  // then what is due comes first

constexpr std::string_view kHeader = "recap-targets 1 ";

std::uint64_t ticks(std::uint64_t usec) {
    static const auto hertz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return usec / (1'000'000 / hertz);
}

// A process may give itself any name.
std::string plain(std::string text) {
    for (char& c : text)
        if (static_cast<unsigned char>(c) < ' ') c = '?';
    return text;
}

std::string_view take(std::string_view& text, char until) {
    const auto part = text.substr(0, text.find(until));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    return part;
}

template <class Number>
Number number(std::string_view text) {
    Number value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

}  // namespace

void Events::begin() {
    begun_ = microseconds(CLOCK_REALTIME);
    begunTicks_ = ticks(microseconds(CLOCK_BOOTTIME));
    refresh();
    const auto armed = armed_;
    for (const auto* one : armed->starts) toLookBack_.push_back(*one);
    for (const auto& [capsule, chains] : armed->chains)
        for (const auto* one : chains) toLookBack_.push_back(*one);
    lateStops();
    makeUp();
}

// As much as there is room for beside what happens now.
void Events::makeUp() {
    for (int i = 0; i < kBackATime && !toLookBack_.empty() && due_.size() < kEnoughDue; ++i) {
        const ArmedEvent armed = std::move(toLookBack_.front());
        toLookBack_.pop_front();
        if (isStillArmed(armed)) lookBack(armed);
    }
    if (toLookBack_.empty()) finished_.clear();
    while (!due_.empty() && throttle_.hasRoom(parts_.now())) {
        const Due due = std::move(due_.front());
        due_.pop_front();
        if (isStillArmed(due.armed)) act(due.armed, due.about, due.on, due.occurrence);
    }
    makeUpLater();
}

void Events::makeUpLater() {
    if (toLookBack_.empty() && due_.empty()) return;
    sd_event_source_set_time_relative(pace_.get(), kPaceUsec);
    sd_event_source_set_enabled(pace_.get(), SD_EVENT_ONESHOT);
}

bool Events::isStillArmed(const ArmedEvent& armed) const {
    const ArmedEvent* now = armed_->find(armed.capsule, armed.index);
    return now != nullptr && now->since == armed.since && now->event == armed.event;
}

void Events::lookBack(const ArmedEvent& armed) {
    if (armed.event.on == "run-finished") return lateChains(armed);
    for (const Target* target : parts_.targets.list())
        if (matches(armed.selection, *target)) lateStart(armed, *target);
}

void Events::lateStart(const ArmedEvent& armed, const Target& target) {
    const std::uint64_t began = realTimeOf(target.startTime);
    if (target.pid <= 0 || began < armed.since || !fireOnce(armed, {target.pid, target.startTime})) return;
    const Occurrence occurrence = ofStart(target);
    if (isNew(armed, occurrence)) late(armed, target.id.text(), {target.id}, occurrence, "it started");
}

// What ends now comes through finished().
void Events::lateChains(const ArmedEvent& armed) {
    const std::uint64_t last = parts_.runs.lastEnd();
    const std::uint64_t since = std::max(armed.since, (last == 0 ? begun_ : std::min(last, begun_)) - kChainUsec);
    const auto ended = parts_.runs.unchained(armed.event.capsule, armed.capsule, since, begun_, kMostChained);
    if (!ended) {
        std::fprintf(stderr, SD_ERR "runs of capsule '%s' that '%s' has missed are not known: %s\n", armed.event.capsule.c_str(),
                     armed.capsule.c_str(), ended.error().message.c_str());
        return;
    }
    for (const auto& run : *ended)
        if (!finished_.contains(run.id)) chain(armed, run, true);
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

void Events::late(const ArmedEvent& armed, const std::string& about, const std::vector<TargetId>& on, const Occurrence& occurrence,
                  const std::string& what) {
    if (armed.missed == Missed::Skip) return skip(armed, about, occurrence, what + " while recapd was away, and schedule.missed says skip");
    due_.push_back({armed, about, on, occurrence});
    makeUpLater();
}

// The targets that the recapd of before waited for the end of.
void Events::lateStops() {
    if (!parts_.recall) return;
    auto kept = parts_.recall();
    if (!kept) return;  // there was none
    std::string_view text = *kept;
    std::string_view header = take(text, '\n');
    if (!header.starts_with(kHeader)) return;
    header.remove_prefix(kHeader.size());
    const std::string boot(header);
    while (!text.empty()) {
        std::string_view fields = take(text, '\n');
        Known known;
        known.life.pid = number<pid_t>(take(fields, '\t'));
        known.life.startTime = number<std::uint64_t>(take(fields, '\t'));
        TargetId id;
        id.backend = take(fields, '\t');
        id.id = take(fields, '\t');
        known.name = take(fields, '\t');
        while (!fields.empty()) {
            const std::string capsule(take(fields, '\t'));
            known.stops.emplace(capsule, number<std::size_t>(take(fields, '\t')));
        }
        lateStop(id, known, boot);
    }
    kept_ = std::move(*kept);
    keepLater();
}

// One whose backend is not there yet may still be running. When a host goes down everything stops, and nobody waits for word of it.
void Events::lateStop(const TargetId& id, const Known& known, const std::string& boot) {
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
            late(*one, id.text(), {}, occurrence, "it stopped");
        else
            skip(*one, id.text(), occurrence, "it ended with the host, which was started anew");
    }
}

std::string Events::line(const TargetId& id, const Known& known) {
    std::string text = std::to_string(known.life.pid) + "\t" + std::to_string(known.life.startTime) + "\t" + plain(id.backend) + "\t" +
                       plain(id.id) + "\t" + plain(known.name);
    for (const auto& [capsule, index] : known.stops) text += "\t" + capsule + "\t" + std::to_string(index);
    return text + "\n";
}

void Events::keepLater() {
    if (!parts_.keep || begun_ == 0 || (!kept_ && known_.empty() && leaving_.empty())) return;
    int enabled = SD_EVENT_OFF;
    if (sd_event_source_get_enabled(keep_.get(), &enabled) < 0 || enabled != SD_EVENT_OFF) return;
    sd_event_source_set_time_relative(keep_.get(), kKeepUsec);
    sd_event_source_set_enabled(keep_.get(), SD_EVENT_ONESHOT);
}

void Events::keepKnown() {
    sd_event_source_set_enabled(keep_.get(), SD_EVENT_OFF);
    std::string text = std::string(kHeader) + parts_.boot + "\n";
    for (const auto& [id, known] : known_) text += line(id, known);
    for (const auto& leaving : leaving_) text += line(leaving.id, leaving.known);
    if (kept_ == text) return;
    if (const auto kept = parts_.keep(text); !kept)
        std::fprintf(stderr, SD_WARNING "a recapd after this one would not know which targets have stopped meanwhile: %s\n",
                     kept.error().message.c_str());
    else
        kept_ = std::move(text);
}

int Events::onPace(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Events*>(self)->makeUp();
    return 0;
}

int Events::onKeep(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Events*>(self)->keepKnown();
    return 0;
}

}  // namespace recap
