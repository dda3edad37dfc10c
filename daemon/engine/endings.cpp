// SPDX-License-Identifier: Apache-2.0
// What a run leaves is brought in; what failed is tried again; what is kept no longer goes.
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "daemon/core/escaped.hpp"
#include "daemon/engine/engine.hpp"

namespace recap {
namespace {

constexpr std::uint32_t kRemembered = 1000;  // rows of each trigger

}  // namespace

std::uint64_t Engine::revisionOf(const std::string& capsule) const {
    const auto found = parts_.capsules.find(capsule);
    return found ? (*found)->revision : 0;
}

CapsuleHealth Engine::health(const std::string& capsule) const {
    return health_.of(capsule, revisionOf(capsule), microseconds(CLOCK_REALTIME));
}

std::string Engine::leftAlone(const std::string& capsule) const {
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    const CapsuleHealth found = health_.of(capsule, revisionOf(capsule), now);
    const std::uint64_t minutes = (found.backedOffUntil - std::min(now, found.backedOffUntil) + 59'999'999) / 60'000'000;
    return " has failed " + std::to_string(found.failures) + " times in a row, and is left alone for " + std::to_string(minutes) + " min";
}

void Engine::noteHealth(const Run& run) {
    const RunRequest& request = run.record.request;
    const RunReport& report = run.record.report;
    const auto word = Health::wordOf(report, run.askedToEnd);
    if (!health_.note(request, word, revisionOf(request.capsule), microseconds(CLOCK_REALTIME))) return;
    std::fprintf(stderr, SD_WARNING "capsule %s%s; run %s %s%s%s\n", request.capsule.c_str(), leftAlone(request.capsule).c_str(),
                 run.record.id.c_str(), std::string(name(report.outcome)).c_str(), report.detail.empty() ? "" : ": ",
                 escaped(report.detail).c_str());
}

// As far as the last rows tell.
Result<void> Engine::restoreHealth() {
    std::vector<RunRecord> rows;
    for (const Trigger trigger : {Trigger::Event, Trigger::Periodic}) {
        RunFilter filter;
        filter.trigger = name(trigger);
        filter.limit = kRemembered;
        auto found = parts_.ledger.query(filter);
        if (!found) return forward(std::move(found));
        std::move(found->begin(), found->end(), std::back_inserter(rows));
    }
    std::sort(rows.begin(), rows.end(), [](const RunRecord& a, const RunRecord& b) { return a.id < b.id; });
    for (const auto& row : rows) {
        if (row.state != RunState::Finished) continue;
        const std::uint64_t took = row.phases.finished - std::min(row.phases.received, row.phases.finished);
        health_.note(row.request, Health::wordOf(row.report, true), 0, row.started + took);
    }
    return {};
}

void Engine::keepEstate(Run& run) {
    run.estate = Estate::Waiting;
    unkept_.erase(run.record.id);
    if (run.record.report.logBytes == 0 || run.log != nullptr) return bringIn(run);
    // Adopted, and ended before its log was here.
    parts_.launcher.log(run.record.id, [this, id = run.record.id](Result<UniqueFd> log) {
        Run* ended = known(id);
        if (ended == nullptr) return;
        if (!log && log.error().code != Errc::NotFound) return broughtIn(id, forward(std::move(log)));
        if (log && *log) ended->log = std::make_shared<LogReader>(std::move(*log));
        bringIn(*ended);
    });
}

void Engine::bringIn(Run& run) {
    const RunReport& report = run.record.report;
    auto log = report.logBytes > 0 ? run.log : nullptr;
    parts_.estates.keep(run.record.id, std::move(log), report.hasArtifacts,
                        [this, id = run.record.id](const Result<void>& kept) { broughtIn(id, kept); });
}

void Engine::broughtIn(const RunId& id, const Result<void>& kept) {
    Run* run = known(id);
    if (run == nullptr) return;
    run->estate = kept ? Estate::Kept : Estate::Failed;
    if (kept) {
        run->log.reset();  // our own file from now on: the launcher's memory is free
    } else {
        run->estateProblem = kept.error();
        const bool gone = kept.error().code == Errc::NotFound;  // the launcher does not have it any more: it will not come back
        std::fprintf(stderr, SD_ERR "run %s: %s%s\n", id.c_str(), kept.error().message.c_str(), gone ? "" : "; it is tried again");
        if (!gone && unkept_.insert(id).second) retryLater();
    }
    acknowledge(*run);
    for (auto& then : std::exchange(run->onceKept, {})) then();
}

void Engine::retryLater() {
    if (std::exchange(retrying_, true)) return;
    sd_event_source_set_time(retry_.get(), monotonicMicroseconds() + parts_.limits.retryUsec);
    sd_event_source_set_enabled(retry_.get(), SD_EVENT_ONESHOT);
}

int Engine::onRetry(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Engine*>(self)->retry();
    return 0;
}

void Engine::retry() {
    retrying_ = false;
    for (const auto& id : unwritten_) {
        if (const Run* run = known(id))
            parts_.ledger.report(run->record, [this, id](const Result<void>& durable) {
                if (Run* reported = known(id)) announce(*reported, durable);
            });
    }
    if (!parts_.launcher.available()) return;  // the next connected() asks for everything
    if (std::exchange(unlisted_, false)) connected();
    for (const auto& id : std::exchange(unkept_, {})) {
        if (Run* run = known(id); run != nullptr && run->estate == Estate::Failed) keepEstate(*run);
    }
}

int Engine::onSweep(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Engine*>(self)->sweep();
    return 0;
}

// A run that is not in the ledger's answer yet is in the table, now or when the answer comes; or is newer than all of these.
void Engine::sweep() {
    sd_event_source_set_time(sweep_.get(), monotonicMicroseconds() + parts_.limits.sweepUsec);
    sd_event_source_set_enabled(sweep_.get(), SD_EVENT_ONESHOT);
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    std::unordered_set<RunId> wanted;
    for (const auto& [id, run] : runs_) wanted.insert(id);
    const LedgerLimits limits{now - std::min(now, parts_.limits.rowsUsec), parts_.limits.rows};
    parts_.ledger.sweep(limits, [this, wanted, newest = ids_.next(now / 1000)](const Result<std::vector<RunId>>& rows) mutable {
        if (!rows) {
            std::fprintf(stderr, SD_ERR "nothing that is old is removed: %s\n", rows.error().message.c_str());
            return;
        }
        wanted.insert(rows->begin(), rows->end());
        remove(std::move(wanted), newest);
    });
}

void Engine::remove(std::unordered_set<RunId> wanted, const RunId& newest) {
    for (const auto& [id, run] : runs_) wanted.insert(id);
    parts_.estates.sweep(std::move(wanted), newest);
}

}  // namespace recap
