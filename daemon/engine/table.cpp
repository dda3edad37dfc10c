// SPDX-License-Identifier: Apache-2.0
// The engine as others ask it: lists, plans without runs, orders to runs under way.
#include <algorithm>

#include "daemon/engine/engine.hpp"

namespace recap {
namespace {

constexpr std::chrono::seconds kCallersGrace{2};

bool matches(const RunRecord& run, const RunFilter& filter) {
    const bool finished = run.state == RunState::Finished;
    return (filter.capsule.empty() || filter.capsule == run.request.capsule) && (filter.target.empty() || filter.target == run.target) &&
           (filter.state.empty() || filter.state == name(run.state)) &&
           (filter.outcome.empty() || (finished && filter.outcome == name(run.report.outcome))) &&
           (filter.trigger.empty() || filter.trigger == name(run.request.trigger)) &&
           (filter.batch.empty() || filter.batch == run.request.batch) && run.started >= filter.since && run.started <= filter.until &&
           (filter.before.empty() || run.id < filter.before);
}

tl::unexpected<Error> noSuchRun(const RunId& id) {
    return fail(Errc::NotFound, "no run '" + id + "' is under way or has just ended; older ones are in the list of runs");
}

}  // namespace

const RunRecord* Engine::find(const RunId& id) const {
    const auto found = runs_.find(id);
    return found == runs_.end() ? nullptr : &found->second.record;
}

std::vector<const RunRecord*> Engine::current() const {
    std::vector<const RunRecord*> all;
    for (const auto& [id, run] : runs_) all.push_back(&run.record);
    return all;
}

// The table is newer than the ledger: its word counts where both have a run.
Result<RunPage> Engine::list(const RunFilter& filter) const {
    if (filter.limit == 0) return RunPage{};
    RunFilter more = filter;
    more.limit = filter.limit + 1;
    auto rows = parts_.ledger.query(more);
    if (!rows) return forward(std::move(rows));
    // What is older than the last row comes with a later page, so that no row in between is passed over.
    const RunId last = rows->size() < more.limit ? RunId() : rows->back().id;
    std::vector<const RunRecord*> found;
    for (const auto& row : *rows) {
        if (!runs_.contains(row.id)) found.push_back(&row);
    }
    for (const auto& [id, run] : runs_) {
        if (id >= last && matches(run.record, filter)) found.push_back(&run.record);
    }
    std::sort(found.begin(), found.end(), [](const RunRecord* a, const RunRecord* b) { return a->id > b->id; });
    RunPage page;
    page.next = last;
    if (found.size() > filter.limit) {
        found.resize(filter.limit);
        page.next = found.back()->id;
    }
    for (const RunRecord* run : found) page.runs.push_back(*run);
    return page;
}

// The row may be on its way to the disk.
Result<bool> Engine::actedOn(const std::string& capsule, const Occurrence& occurrence, std::uint64_t since) const {
    for (const auto& [id, run] : runs_) {
        const auto& known = run.record.request.occurrence;
        if (known && known->cause == occurrence.cause && known->on == occurrence.on && run.record.request.capsule == capsule) return true;
    }
    return parts_.ledger.hasEvent(capsule, occurrence, since);
}

Result<std::vector<EndedRun>> Engine::unchained(const std::string& capsule, const std::string& by, std::uint64_t since, std::uint64_t until,
                                                std::uint32_t limit) const {
    auto ended = parts_.ledger.unchained(capsule, by, since, until, limit);
    if (!ended) return ended;
    std::erase_if(*ended, [&](const EndedRun& one) {
        const RunRecord* run = find(one.id);
        return run != nullptr && run->state != RunState::Finished;
    });
    return ended;
}

void Engine::plan(RunRequest request, Reply<RunPlan> reply) {
    if (auto checked = checkArguments(request); !checked) return reply(forward(std::move(checked)));
    if (const auto capsule = parts_.capsules.find(request.capsule); !capsule) return reply(tl::unexpected(capsule.error()));
    const std::string target = request.target;
    parts_.targets.whenReady(target, [this, request = std::move(request), reply = std::move(reply)](const Result<Target>& ready) {
        if (!ready) return reply(tl::unexpected(ready.error()));
        auto decided = makePlan("", request, *ready);
        if (decided || decided.error().code != Errc::NotAdmitted) return reply(std::move(decided));
        parts_.refreshAdmissions([this, request, target = *ready, reply] { reply(makePlan("", request, target)); });
    });
}

void Engine::stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) {
    Run* run = known(id);
    if (run == nullptr) return reply(noSuchRun(id));
    if (run->concluded) return reply({});
    run->askedToEnd = true;
    if (run->record.state != RunState::Pending) return parts_.launcher.stop(id, grace, std::move(reply));
    RunReport report;
    report.outcome = Outcome::Killed;
    report.detail = "stopped before it was started";
    report.phases.finished = report.phases.escaped = monotonicMicroseconds();
    conclude(*run, std::move(report));
    reply({});
}

void Engine::signal(const RunId& id, int signal, Reply<void> reply) {
    Run* run = known(id);
    if (run == nullptr) return reply(noSuchRun(id));
    if (run->concluded) return reply(fail(Errc::NotFound, "run " + id + " has ended; there is nothing to signal"));
    if (run->record.state == RunState::Pending) return reply(fail(Errc::Busy, "run " + id + " has not been started yet"));
    run->askedToEnd = true;
    parts_.launcher.signal(id, signal, std::move(reply));
}

void Engine::callerGone(const std::string& busName) {
    for (const auto& id : underWay_.boundTo(busName)) stop(id, kCallersGrace, [](const Result<void>&) {});
}

}  // namespace recap
