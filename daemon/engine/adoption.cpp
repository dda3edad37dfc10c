// SPDX-License-Identifier: Apache-2.0
// recapd and the launcher live and die apart. When they meet, what the launcher has is compared with the table and the
// ledger: its runs are adopted, and what it does not know any more is lost.
#include <systemd/sd-daemon.h>

#include <cstdio>

#include "daemon/engine/engine.hpp"

namespace recap {
Result<void> Engine::restore() {
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    auto rows = parts_.ledger.endedSince(now - parts_.limits.keptUsec);
    if (!rows) return forward(std::move(rows));
    const auto last = parts_.ledger.lastEnd();
    if (!last) return tl::unexpected(last.error());
    lastEnd_ = *last;
    for (auto row = rows->rbegin(); row != rows->rend(); ++row) insert(std::move(*row));  // oldest first
    sweep();
    return restoreHealth();
}

void Engine::connected() {
    // A run that is handed over while the answer is on its way is not in it, and not lost.
    std::set<RunId> handedOver;
    for (const auto& [id, run] : runs_) {
        if (!run.concluded && run.record.state != RunState::Pending) handedOver.insert(id);
    }
    ++listings_;
    parts_.launcher.list([this, handedOver](Result<std::vector<LaunchedRun>> runs) {
        --listings_;
        if (runs) noteEnds(*runs);
        if (listings_ == 0) endedMeanwhile_.clear();
        if (runs)
            listed(*runs, handedOver);
        else
            unknown(runs.error());
    });
}

void Engine::unknown(const Error& why) {
    std::fprintf(stderr, SD_WARNING "the launcher's runs are not known: %s\n", why.message.c_str());
    unlisted_ = true;
    retryLater();
}

void Engine::disconnected(Error why) { std::fprintf(stderr, SD_WARNING "recap-launcher is away: %s\n", why.message.c_str()); }

// The list comes in pages: a run that was running on the first may have ended before the last, and was not known then.
void Engine::noteEnds(std::vector<LaunchedRun>& runs) const {
    for (auto& run : runs) {
        const auto ended = endedMeanwhile_.find(run.id);
        if (run.finished || ended == endedMeanwhile_.end()) continue;
        run.finished = true;
        run.report = ended->second;
    }
}

void Engine::listed(const std::vector<LaunchedRun>& runs, const std::set<RunId>& handedOver) {
    std::set<RunId> present;
    for (const auto& launched : runs) {
        present.insert(launched.id);
        adopt(launched);
    }
    for (const auto& id : handedOver) {
        Run* run = known(id);
        if (run != nullptr && !run->concluded && !present.contains(id)) declareLost(*run);
    }
    if (!reconciled_) loseUnknown(present);
    reconciled_ = true;
}

void Engine::adopt(const LaunchedRun& launched) {
    if (Run* run = known(launched.id)) return resume(*run, launched);
    auto row = parts_.ledger.find(launched.id);
    std::optional<RunRecord> written = row ? std::move(*row) : std::nullopt;
    RunRecord record;
    if (written) {
        record = std::move(*written);
    } else {
        record.id = launched.id;
        record.request.capsule = launched.capsule;
        record.request.caller.uid = launched.callerUid;
        record.request.caller.busName = launched.boundTo;
        if (!launched.boundTo.empty()) record.request.lifetime = Lifetime::Caller;
        record.target = record.request.target = launched.target;
        record.started = microseconds(CLOCK_REALTIME);
        parts_.ledger.intend(record);
    }
    if (record.state != RunState::Finished) record.state = RunState::Running;
    record.handedOver = true;
    record.tty = launched.tty;
    resume(insert(std::move(record)), launched);
}

// In the table: goes on, ends now, or (when its start seemed to have failed, or its estate was not taken) is cleared up.
void Engine::resume(Run& run, const LaunchedRun& launched) {
    const RunId id = launched.id;
    if (run.concluded && run.estate == Estate::Waiting) return;
    if (run.concluded && run.estate == Estate::Kept) return acknowledge(run);
    if (!launched.finished && run.concluded) return parts_.launcher.stop(id, std::chrono::seconds(0), [](const Result<void>&) {});
    if (!launched.finished) progressed(id, launched.report.phases);
    if (run.concluded && run.estate == Estate::Failed) return keepEstate(run);
    if (run.log != nullptr) {
        if (launched.finished) ended(launched.report);
        return;
    }
    parts_.launcher.log(id, [this, id, finished = launched.finished, report = launched.report](Result<UniqueFd> log) {
        Run* adopted = known(id);
        if (adopted == nullptr) return;
        if (log && *log) adopted->log = std::make_shared<LogReader>(std::move(*log));
        if (!finished || adopted->estate == Estate::Waiting) return;
        if (!adopted->concluded) return ended(report);
        keepEstate(*adopted);
    });
}

void Engine::declareLost(Run& run) {
    RunReport report;
    report.outcome = Outcome::Lost;
    report.error = Errc::Unavailable;
    report.detail =
        run.plan == nullptr
            ? "the launcher does not know this run: recapd ended before it was started, or the launcher has, and its capsules with it"
            : "the launcher does not know this run any more; when it ended, its capsules were ended with it";
    report.phases = run.record.phases;
    report.phases.finished = monotonicMicroseconds();
    conclude(run, std::move(report));
}

void Engine::loseUnknown(const std::set<RunId>& present) {
    auto rows = parts_.ledger.unfinished();
    if (!rows) {
        std::fprintf(stderr, SD_ERR "lost runs are not marked: %s\n", rows.error().message.c_str());
        return;
    }
    for (auto& row : *rows) {
        const bool isOurs = known(row.id) != nullptr || expected_.contains(row.id);
        if (!isOurs && !present.contains(row.id)) declareLost(insert(std::move(row)));
    }
}

}  // namespace recap
