// SPDX-License-Identifier: Apache-2.0
// What the recapd after this one is to know of targets, in one text: those whose end is waited for, those whose start is past, and the
// kills that were acted on. The ledger has rows of all that was done, but not for ever.
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "daemon/core/process.hpp"
#include "daemon/triggers/events.hpp"

namespace recap {
namespace {

constexpr std::uint64_t kKeepUsec = 250'000;

constexpr std::string_view kHeader = "recap-targets 1 ";
constexpr std::string_view kOom = "oom\t";

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

bool Events::isAlive(const Life& life) {
    const auto pinned = pinProcess(life.pid);
    return pinned && pinned->startTime == life.startTime && !ended(pinned->pidfd);
}

void Events::recall() {
    if (!parts_.recall) return;
    auto kept = parts_.recall();
    if (!kept) return;  // there was none
    std::string_view text = *kept;
    std::string_view header = take(text, '\n');
    if (!header.starts_with(kHeader)) return;
    header.remove_prefix(kHeader.size());
    bootBefore_ = header;
    while (!text.empty()) recallLine(take(text, '\n'), bootBefore_ == parts_.boot);
    kept_ = std::move(*kept);
}

// Kills: "oom", pid, start time, capsule, how many. Else pid, start time, backend, id; and where its end is waited for its name, and who
// does, a capsule and the index of its event each.
void Events::recallLine(std::string_view fields, bool sameBoot) {
    const bool isOom = fields.starts_with(kOom);
    if (isOom) take(fields, '\t');
    Known known;
    known.life.pid = number<pid_t>(take(fields, '\t'));
    known.life.startTime = number<std::uint64_t>(take(fields, '\t'));
    if (isOom) {
        const std::string capsule(take(fields, '\t'));
        const std::string life = parts_.boot + " " + std::to_string(known.life.pid) + " " + std::to_string(known.life.startTime);
        if (sameBoot && isAlive(known.life)) kills_[{life, capsule}] = number<std::uint64_t>(fields);
        return;
    }
    TargetId id;
    id.backend = take(fields, '\t');
    id.id = take(fields, '\t');
    known.name = take(fields, '\t');
    while (!fields.empty()) {
        const std::string capsule(take(fields, '\t'));
        known.stops.emplace(capsule, number<std::size_t>(take(fields, '\t')));
    }
    if (!known.stops.empty())
        before_.emplace_back(std::move(id), std::move(known));
    else if (sameBoot)
        seen_.emplace(known.life, std::move(id));
}

std::string Events::line(const TargetId& id, const Known& known) {
    std::string text =
        std::to_string(known.life.pid) + "\t" + std::to_string(known.life.startTime) + "\t" + plain(id.backend) + "\t" + plain(id.id);
    if (!known.stops.empty()) text += "\t" + plain(known.name);
    for (const auto& [capsule, index] : known.stops) text += "\t" + capsule + "\t" + std::to_string(index);
    return text + "\n";
}

void Events::keepLater() {
    if (!parts_.keep || begun_ == 0) return;
    if (!kept_ && known_.empty() && leaving_.empty() && kills_.empty() && armed_->starts.empty()) return;
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
    for (const auto& [life, id] : seen_) text += line(id, {life, {}, {}});
    for (const auto& [of, total] : kills_) {
        std::string life = of.first.substr(parts_.boot.size() + 1);
        std::ranges::replace(life, ' ', '\t');
        text += std::string(kOom) + life + "\t" + of.second + "\t" + std::to_string(total) + "\n";
    }
    noteSeen();
    if (kept_ == text) return;
    if (const auto kept = parts_.keep(text); !kept)
        std::fprintf(stderr, SD_WARNING "a recapd after this one would not know which targets have started or stopped before: %s\n",
                     kept.error().message.c_str());
    else
        kept_ = std::move(text);
}

// What is there by now has been acted on. It is kept the next time, when its rows are on the disk.
void Events::noteSeen() {
    if (!toLookBack_.empty() || !toLookAt_.empty() || !due_.empty()) return;
    std::set<std::pair<Life, TargetId>> seen;
    if (!armed_->starts.empty())
        for (const Target* target : parts_.targets.list())
            if (target->pid > 0) seen.insert({{target->pid, target->startTime}, target->id});
    for (const auto& one : seen_)  // its backend may come back
        if (!seen.contains(one) && isAlive(one.first)) seen.insert(one);
    if (seen == seen_) return;
    seen_ = std::move(seen);
    keepLater();
}

std::optional<std::uint64_t> Events::killsActedOn(const std::string& life, const std::string& capsule) const {
    const auto found = kills_.find({life, capsule});
    return found == kills_.end() ? std::nullopt : std::optional(found->second);
}

void Events::actedOnKills(const std::string& life, const std::string& capsule, std::uint64_t total) {
    auto& known = kills_[{life, capsule}];
    known = std::max(known, total);
    keepLater();
}

void Events::forgetKills(const std::string& life) {
    std::erase_if(kills_, [&](const auto& one) { return one.first.first == life; });
}

int Events::onKeep(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Events*>(self)->keepKnown();
    return 0;
}

}  // namespace recap
