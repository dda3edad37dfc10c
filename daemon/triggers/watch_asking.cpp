// SPDX-License-Identifier: Apache-2.0
// Where a watch gets its descriptor, again and again where that has to be: a few are asked for at a time, and of one target one, so that
// a target in which nothing is found in time keeps no other waiting, and the launcher is free for runs.
#include <sys/inotify.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>

#include "daemon/core/escaped.hpp"
#include "daemon/triggers/watches.hpp"

namespace recap {
namespace {

constexpr std::size_t kAtOnce = 8;                 // are asked for
constexpr std::uint64_t kLeastPause = 1'000'000;   // after a refusal; each is twice the one before
constexpr std::uint64_t kMostPause = 300'000'000;  // likewise
constexpr std::uint64_t kMostAbsent = 60'000'000;  // of a file that is not there
constexpr std::uint64_t kLeastAnew = 250'000;      // where one comes after the other, in place of one that was open
constexpr std::uint64_t kMostAnew = 5'000'000;     // likewise
constexpr std::uint64_t kCalmUsec = 60'000'000;    // open for so long, it was no such one

PressureOf resourceOf(const std::string& word) {
    if (word == "cpu") return PressureOf::Cpu;
    return word == "io" ? PressureOf::Io : PressureOf::Memory;
}

WatchSpec specOf(const EventSchedule& event) {
    WatchSpec spec;
    if (event.on == "pressure") {
        spec.kind = WatchKind::Pressure;
        spec.resource = resourceOf(event.resource);
        spec.stall = event.stall;
        spec.window = event.window;
    } else if (event.on == "file-changed") {
        spec.kind = WatchKind::File;
        spec.path = event.path;
    }
    return spec;
}

// No later answer will be another one, of this launcher on this kernel.
bool isLasting(const Error& why, bool file) { return why.code == Errc::InvalidArgument || (why.code == Errc::NotSupported && !file); }

}  // namespace

void Watches::ask(Watch& watch) {
    schedule(watch, Doing::Asking, 0);
    toAsk_.push_back(watch.shared_from_this());
    askNext();
}

// Answers may come from inside the question.
void Watches::askNext() {
    if (std::exchange(asking_, true)) return;
    while (asked_.size() < kAtOnce) {
        const auto next =
            std::ranges::find_if(toAsk_, [this](const Shared& one) { return one->dropped || !asked_.contains(one->key.target); });
        if (next == toAsk_.end()) break;
        const Shared watch = std::move(*next);
        toAsk_.erase(next);
        if (watch->dropped) continue;
        const TargetId& id = watch->key.target;
        asked_.insert(id);
        const auto ready = [this, watch, alive = std::weak_ptr(alive_)](const Result<Target>& target) {
            if (!alive.expired()) askLauncher(watch, target);
        };
        if (std::exchange(watch->stale, false))
            parts_.targets.refresh(id, ready);
        else
            parts_.targets.whenReady(id.text(), ready);
    }
    asking_ = false;
}

void Watches::askLauncher(const Shared& watch, const Result<Target>& target) {
    if (!target) return answered(watch, tl::unexpected(target.error()));
    if (watch->dropped || target->id != watch->key.target)
        return answered(watch, fail(Errc::TargetGone, "target " + watch->key.target.text() + " is gone"));
    watch->pidfd = target->pidfd;
    watch->startTime = target->startTime;
    watch->life = parts_.events.lifeOf(*target);
    parts_.launcher.watch(*target, specOf(watch->armed->event), [this, watch, alive = std::weak_ptr(alive_)](Result<OpenedWatch> opened) {
        if (!alive.expired()) answered(watch, std::move(opened));
    });
}

void Watches::answered(const Shared& watch, Result<OpenedWatch> opened) {
    asked_.erase(watch->key.target);
    if (watch->dropped) {
        if (opened) parts_.launcher.unwatch(opened->id);
    } else if (opened) {
        open(*watch, std::move(*opened));
    } else {
        refused(*watch, opened.error());
    }
    askNext();
}

void Watches::open(Watch& watch, OpenedWatch opened) {
    forget(watch.key);
    const bool first = watch.opened == 0;
    watch.opened = parts_.now();
    watch.pause = std::min(watch.pause, kMostAnew);
    watch.reader.emplace(std::move(opened), parts_.kills);
    const std::uint64_t before = watch.reader->begin();
    Heard heard = std::exchange(watch.heard, {});
    const bool wasAbsent = std::exchange(watch.absent, false), wasBlind = std::exchange(watch.blind, false);
    if (watch.isFile() && (wasAbsent || heard.gone)) heard.what |= IN_CREATE;
    if (watch.isFile() && heard.count == 0 && (wasAbsent || wasBlind)) heard.count = 1;
    if (first && watch.counts()) tellEarlier(watch, before);
    if (heard.count > 0 && !watch.dropped) tell(watch, heard);
    if (watch.dropped) return;
    if (watch.reader->opened().form == WatchForm::Trigger) return readOn(watch, 0);  // epoll(7) would not tell of what was before
    return heard.count > 0 ? rest(watch, heard.records) : listen(watch);
}

// A file that is gone may come back, and that is news then.
void Watches::refused(Watch& watch, const Error& why) {
    note(watch, why);
    const bool absent = watch.isFile() && why.code == Errc::NotFound;
    Heard heard = std::exchange(watch.heard, {});
    if (absent) {
        watch.absent = true;
        heard.what |= IN_DELETE;
    } else {
        watch.blind = watch.opened != 0;
    }
    watch.stale = why.code == Errc::TargetGone;
    watch.pause = std::clamp(watch.pause * 2, kLeastPause, absent ? kMostAbsent : kMostPause);
    schedule(watch, Doing::Waiting, isLasting(why, watch.isFile()) ? 0 : parts_.now() + watch.pause);
    if (heard.count > 0) tell(watch, heard);
}

// What was heard of is told with what is found now: what happens before that is part of it.
void Watches::askAnew(Watch& watch) {
    close(watch);
    watch.stale = !watch.isFile();
    const std::uint64_t now = parts_.now();
    if (now - watch.opened > kCalmUsec) watch.pause = 0;
    const std::uint64_t pause = std::exchange(watch.pause, std::clamp(watch.pause * 2, kLeastAnew, kMostAnew));
    if (pause == 0) return ask(watch);
    schedule(watch, Doing::Waiting, now + pause);
}

void Watches::launcherConnected() {
    for (const auto& [key, watch] : watches_) {
        if (watch->doing != Doing::Waiting) continue;
        watch->pause = 0;
        schedule(*watch, Doing::Waiting, parts_.now());
    }
}

void Watches::launcherGone() {
    for (const auto& [key, watch] : watches_)
        if (watch->reader) watch->reader->disown();
}

void Watches::note(const Watch& watch, const Error& why) {
    Trouble& trouble = troubles_[{watch.key.capsule, watch.key.event}];
    trouble.on.insert_or_assign(watch.key.target, why);
    if (!trouble.told.insert(why.code).second) return;
    std::fprintf(stderr, "%sevent %s of capsule '%s' is not heard of on target %s: %s; where else, 'recapctl schedule' says\n",
                 why.code == Errc::NotFound ? SD_INFO : SD_WARNING, watch.armed->event.on.c_str(), watch.key.capsule.c_str(),
                 escaped(watch.key.target.text()).c_str(), escaped(why.message).c_str());  // a target words both
}

void Watches::forget(const Key& key) {
    const auto trouble = troubles_.find({key.capsule, key.event});
    if (trouble == troubles_.end()) return;
    trouble->second.on.erase(key.target);
    if (trouble->second.on.empty() && trouble->second.beyond.empty()) troubles_.erase(trouble);
}

// Where some target has the file, others without it are none of its problems.
std::string Watches::problemOf(const std::string& capsule, std::size_t event) const {
    const auto found = troubles_.find({capsule, event});
    if (found == troubles_.end()) return {};
    const auto& [on, told, beyond] = found->second;
    const auto of = [&](const auto& one) { return one.first.capsule == capsule && one.first.event == event; };
    const auto isReal = [](const auto& one) { return one.second.code != Errc::NotFound; };
    auto worst = std::ranges::find_if(on, isReal);
    auto count = static_cast<std::size_t>(std::ranges::count_if(on, isReal));
    if (worst == on.end() && static_cast<std::size_t>(std::ranges::count_if(watches_, of)) == on.size()) {
        worst = on.begin();
        count = on.size();
    }
    std::string text;
    if (worst != on.end()) text = worst->second.message;
    if (count > 1) text += "; and likewise on " + std::to_string(count - 1) + " more";
    if (!beyond.empty())
        text += (text.empty() ? "" : "; ") + std::to_string(beyond.size()) + " targets are not watched, as recapd has no more than " +
                std::to_string(kMost) + " watches";
    return text;
}

}  // namespace recap
