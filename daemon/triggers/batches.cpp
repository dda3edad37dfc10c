// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/batches.hpp"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>

namespace recap {
namespace {

constexpr std::chrono::seconds kGrace{5};  // of a run that another one replaces, or whose caller is gone
constexpr int kStoppedATime = 256;         // rows that did not begin, in a turn: each is told, and has its row in the ledger

Result<std::vector<std::string>> common(const CapsuleInfo& capsule, const Selection& asked) {
    const auto& own = capsule.selection.backends;
    if (own.empty() || asked.backends.empty()) return own.empty() ? asked.backends : own;
    std::vector<std::string> both;
    for (const auto& backend : asked.backends)
        if (std::ranges::find(own, backend) != own.end()) both.push_back(backend);
    if (!both.empty()) return both;
    return fail(Errc::InvalidArgument,
                "capsule '" + capsule.name + "' is for other backends (target.backends) than '" + asked.backends.front() + "'");
}

}  // namespace

Result<std::unique_ptr<Batches>> Batches::create(const BatchParts& parts) {
    std::unique_ptr<Batches> batches(new Batches(parts));
    sd_event_source* source = nullptr;
    int error = sd_event_add_defer(parts.loop, &source, onTurn, batches.get());
    if (error < 0) return failErrno("the batches' turn", -error);
    batches->turn_.reset(source);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    for (const auto& [owner, handler] : {std::pair{&batches->retry_, &onRetry}, {&batches->expiry_, &onExpiry}}) {
        error = sd_event_add_time(parts.loop, &source, CLOCK_MONOTONIC, 0, 250'000, handler, batches.get());
        if (error < 0) return failErrno("the batches' timer", -error);
        owner->reset(source);
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
    }
    return batches;
}

Result<std::vector<const Target*>> Batches::choose(const std::string& name, const Selection& asked, const Reachable& reachable) const {
    const auto capsule = parts_.capsules.find(name);
    if (!capsule) return tl::unexpected(capsule.error());
    const Selection& own = (*capsule)->selection;
    auto backends = common(**capsule, asked);
    if (!backends) return forward(std::move(backends));
    Selection both = asked;
    both.backends = std::move(*backends);
    both.labels.insert(both.labels.end(), own.labels.begin(), own.labels.end());
    both.mode = SelectionMode::All;
    auto chosen = select(both, parts_.targets.list());
    if (reachable) std::erase_if(chosen, [&](const Target* target) { return !reachable(*target); });
    chosen.resize(std::min(chosenOf(own, chosen.size()), chosenOf(asked, chosen.size())));
    return chosen;
}

Result<std::vector<BatchTarget>> Batches::targetsOf(BatchRequest& request) const {
    if (request.targets) return std::move(*request.targets);
    const auto chosen = choose(request.run.capsule, request.selection, {});
    if (!chosen) return tl::unexpected(chosen.error());
    std::vector<BatchTarget> targets;
    for (const Target* target : *chosen) targets.push_back({target->id, target->name, std::optional<Authorisation>()});
    return targets;
}

// As for runs, no storm of events keeps anybody from asking.
Result<void> Batches::checkRoom(const RunRequest& run, std::size_t rows) const {
    const Kind& alike = kind(run.trigger);
    if (const auto underWay = alike.rows - alike.endedRows; underWay + rows > parts_.limits.rows)
        return fail(Errc::LimitExceeded, "a batch of " + std::to_string(rows) + " targets beside " + std::to_string(underWay) +
                                             " of batches under way; recapd takes at most " + std::to_string(parts_.limits.rows));
    if (run.trigger != Trigger::OnDemand) {
        if (alike.running < parts_.limits.unasked) return {};
        return fail(Errc::LimitExceeded, std::to_string(alike.running) +
                                             " batches that events and timers started are under way, and recapd takes no more of them");
    }
    if (alike.running >= parts_.limits.running)
        return fail(Errc::LimitExceeded,
                    std::to_string(alike.running) + " batches are under way, and recapd takes no more; try again when some have ended");
    return run.caller.uid == 0 ? Result<void>() : checkShare(run.caller.uid, rows);
}

// Of what is asked for, one user other than root has at most a quarter.
Result<void> Batches::checkShare(std::uint32_t uid, std::size_t rows) const {
    std::size_t theirs = 0, targets = 0;
    for (const auto& [id, batch] : batches_) {
        const BatchRecord& record = batch.record;
        if (record.state != BatchState::Running || record.trigger != Trigger::OnDemand || record.caller.uid != uid) continue;
        ++theirs;
        targets += record.rows.size();
    }
    const std::string who = "uid " + std::to_string(uid);
    if (theirs >= std::max<std::size_t>(parts_.limits.running / 4, 1))
        return fail(Errc::LimitExceeded, who + " has " + std::to_string(theirs) +
                                             " batches under way, and one user may have no more; try again when some have ended");
    if (const auto most = std::max<std::size_t>(parts_.limits.rows / 4, 1); targets + rows > most)
        return fail(Errc::LimitExceeded, "a batch of " + std::to_string(rows) + " targets beside " + std::to_string(targets) + " of " +
                                             who + "'s batches under way; one user may have at most " + std::to_string(most));
    return {};
}

Result<BatchId> Batches::start(BatchRequest request) {
    const auto capsule = parts_.capsules.find(request.run.capsule);
    if (!capsule) return tl::unexpected(capsule.error());
    auto targets = targetsOf(request);
    if (!targets) return forward(std::move(targets));
    if (auto room = checkRoom(request.run, targets->size()); !room) return forward(std::move(room));
    expire(kind(request.run.trigger), monotonicMicroseconds(), targets->size());
    Batch batch;
    batch.record.started = microseconds(CLOCK_REALTIME);
    batch.record.id = ids_.next(batch.record.started / 1000);
    batch.record.capsule = request.run.capsule;
    batch.record.trigger = request.run.trigger;
    batch.record.occurrence = request.run.occurrence;
    batch.record.caller = request.run.caller;
    batch.parallel = std::max(1u, std::min(request.selection.parallel, (*capsule)->selection.parallel));
    for (auto& target : *targets) {
        auto& row = batch.record.rows.emplace_back();
        row.target = std::move(target.target);
        row.name = std::move(target.name);
        batch.allowed.push_back(std::move(target.allowed));
    }
    batch.run = std::move(request.run);
    batch.run.batch = batch.record.id;
    const BatchId id = batch.record.id;
    batches_.emplace(id, std::move(batch));
    if (auto expected = expect(id); !expected) {
        batches_.erase(id);
        return forward(std::move(expected));
    }
    const Batch& begun = *known(id);
    ++kind(begun.record.trigger).running;
    kind(begun.record.trigger).rows += targets->size();
    if (targets->empty() && begun.record.trigger != Trigger::OnDemand) tellOfNone(begun.record, begun.run, request.selection);
    for (auto* listener : listeners_) listener->batchStarted(id);
    turnSoon(id);
    return id;
}

// Who asks is told at once; of what nobody asked for the ledger says that there was nothing to run on.
void Batches::tellOfNone(const BatchRecord& batch, const RunRequest& run, const Selection& asked) {
    RunRequest none = run;
    std::string why = "no target that runs is one of those that the capsule selects";
    if (asked.targets.size() == 1) {
        none.target = asked.targets.front().text();
        const auto target = parts_.targets.resolve(none.target);
        if (!target)
            why = target.error().message;
        else if ((*target)->state == TargetState::Running)
            why = "target '" + none.target + "' is none of those that the capsule selects";
        else
            why = "target '" + none.target + ((*target)->state == TargetState::Paused ? "' is paused" : "' does not run");
    }
    if (const auto skipped = parts_.runs.skip(std::move(none), why); !skipped)
        std::fprintf(stderr, SD_WARNING "capsule '%s' ran nowhere (%s), and that can't be written down: %s\n", batch.capsule.c_str(),
                     why.c_str(), skipped.error().message.c_str());
}

// Before anything is done about them: a recapd that is killed in the middle leaves word of all. The first run waits until the disk has
// them: once for all targets, and a caller that detached isn't there any more to see recapd vanish.
Result<void> Batches::expect(const BatchId& id) {
    Batch& batch = *known(id);
    std::vector<std::string> targets;
    for (const auto& row : batch.record.rows) targets.push_back(row.target.text());
    batch.noting = !targets.empty();
    std::function<void(Result<void>)> durable;
    if (batch.noting)
        durable = [this, id](const Result<void>&) {  // where the disk is full, each run is refused by itself
            if (Batch* noted = known(id)) noted->noting = false;
            turnSoon(id);
        };
    auto expected = parts_.runs.expect(batch.run, targets, std::move(durable));
    if (!expected) return forward(std::move(expected));
    batch.expected = std::move(*expected);
    return {};
}

const BatchRecord* Batches::findBatch(const BatchId& id) const {
    const auto found = batches_.find(id);
    return found == batches_.end() ? nullptr : &found->second.record;
}

std::vector<const BatchRecord*> Batches::currentBatches() const {
    std::vector<const BatchRecord*> all;
    for (const auto& [id, batch] : batches_) all.push_back(&batch.record);
    return all;
}

Batches::Batch* Batches::known(const BatchId& id) {
    const auto found = batches_.find(id);
    return found == batches_.end() ? nullptr : &found->second;
}

void Batches::stopBatch(const BatchId& id, std::chrono::microseconds grace, Reply<void> reply) {
    Batch* batch = known(id);
    if (batch == nullptr)
        return reply(fail(Errc::NotFound, "no batch '" + id + "' is under way or has just ended; its runs are in the list of runs"));
    batch->stopping = true;
    withdrawWaiting(*batch);
    turnSoon(id);
    std::vector<RunId> underWay;
    for (const auto& row : batch->record.rows)
        if (!row.run.empty() && row.state != RunState::Finished) underWay.push_back(row.run);
    if (underWay.empty()) return reply({});
    struct Answers {
        std::size_t left;
        Result<void> first;
        Reply<void> reply;
    };
    const auto answers = std::make_shared<Answers>(Answers{underWay.size(), {}, std::move(reply)});
    for (const auto& run : underWay)
        parts_.runs.stop(run, grace, [answers](const Result<void>& stopped) {
            if (!stopped && stopped.error().code != Errc::NotFound && answers->first) answers->first = stopped;
            if (--answers->left == 0) answers->reply(answers->first);
        });
}

void Batches::batchCallerGone(const std::string& busName) {
    std::vector<BatchId> theirs;
    for (const auto& [id, batch] : batches_)
        if (batch.run.lifetime == Lifetime::Caller && batch.record.caller.busName == busName) theirs.push_back(id);
    for (const auto& id : theirs) stopBatch(id, kGrace, [](const Result<void>&) {});
}

void Batches::advance(Batch& batch) {
    for (int i = 0; batch.stopping && i < kStoppedATime; ++i) {
        const auto row = nextRow(batch);
        if (!row) return;
        leaveOut(batch, *row, Outcome::Skipped, "the batch was stopped");
    }
    while (!batch.stopping && batch.underWay < batch.parallel && !full_.contains(batch.record.id)) {
        const auto row = nextRow(batch);
        if (!row) return;
        ++batch.underWay;
        begin(batch, *row);
    }
}

std::optional<std::size_t> Batches::nextRow(Batch& batch) {
    if (batch.again.empty()) return batch.next < batch.record.rows.size() ? std::optional(batch.next++) : std::nullopt;
    const std::size_t row = batch.again.front();
    batch.again.pop_front();
    return row;
}

// Whoever asks for a run has it, whatever else runs there; what nobody asked for minds the runs before it.
void Batches::begin(Batch& batch, std::size_t row) {
    if (const auto& allowed = batch.allowed[row]; !allowed) {
        --batch.underWay;
        return leaveOut(batch, row, Outcome::Denied, allowed.error().message);
    }
    const auto capsule = parts_.capsules.find(batch.record.capsule);
    if (batch.record.trigger == Trigger::OnDemand || !capsule) return submit(batch, row);
    const auto place = placeOf(batch, row);
    const auto verdict = gate_.ask(place, (*capsule)->schedule.overlap);
    if (verdict.go == Gate::Go::Now) return submit(batch, row);
    --batch.underWay;
    if (verdict.go == Gate::Go::Skip)
        return leaveOut(batch, row, Outcome::Skipped,
                        "run " + verdict.earlier + " of this capsule is still under way there" +
                            (verdict.another ? ", and another one waits for its end" : ""));
    atGate_[place] = {batch.record.id, row};
    for (const auto& earlier : verdict.stop) parts_.runs.stop(earlier, kGrace, [](const Result<void>&) {});
}

void Batches::submit(Batch& batch, std::size_t row) {
    auto& entry = batch.record.rows[row];
    if (!parts_.targets.resolve(entry.target.text())) {  // it was there when it was chosen
        --batch.underWay;
        return leaveOut(batch, row, Outcome::TargetGone, "target '" + entry.target.text() + "' is gone");
    }
    const auto id = parts_.runs.submit(requestOf(batch, row));
    if (!id && id.error().code == Errc::LimitExceeded) {
        --batch.underWay;
        batch.again.push_front(row);
        full_.insert(batch.record.id);
        sd_event_source_set_time_relative(retry_.get(), parts_.limits.retryUsec);
        sd_event_source_set_enabled(retry_.get(), SD_EVENT_ONESHOT);
        return;
    }
    if (!id) {
        --batch.underWay;
        return leaveOut(batch, row, Outcome::NotStarted, id.error().message);
    }
    entry.run = *id;
    byRun_[*id] = {batch.record.id, row};
    batch.told = false;
    turnSoon(batch.record.id);
}

// A run that does not happen is a fact too.
void Batches::leaveOut(Batch& batch, std::size_t row, Outcome outcome, const std::string& why) {
    if (auto id = parts_.runs.leaveOut(requestOf(batch, row), outcome, why)) batch.record.rows[row].run = *id;
    end(batch, row, outcome, why);
}

void Batches::end(Batch& batch, std::size_t row, Outcome outcome, const std::string& detail) {
    auto& entry = batch.record.rows[row];
    entry.state = RunState::Finished;
    entry.outcome = outcome;
    entry.detail = detail;
    ++batch.done;
    batch.told = false;
    for (auto* listener : listeners_) listener->batchRowFinished(batch.record.id, entry);
    turnSoon(batch.record.id);
}

RunRequest Batches::requestOf(const Batch& batch, std::size_t row) const {
    RunRequest request = batch.run;
    request.target = batch.record.rows[row].target.text();
    request.received = monotonicMicroseconds();
    request.expected = batch.expected[row];
    if (const auto& allowed = batch.allowed[row]; allowed) request.authorised = *allowed;
    return request;
}

Gate::Place Batches::placeOf(const Batch& batch, std::size_t row) { return {batch.record.capsule, batch.record.rows[row].target.text()}; }

void Batches::letIn(const Gate::Place& place) {
    const auto waiting = atGate_.extract(place);
    if (waiting.empty()) return;
    Batch* batch = known(waiting.mapped().first);
    if (batch == nullptr) return;
    batch->again.push_back(waiting.mapped().second);
    turnSoon(batch->record.id);
}

void Batches::withdrawWaiting(Batch& batch) {
    for (auto at = atGate_.begin(); at != atGate_.end();) {
        if (at->second.first != batch.record.id) {
            ++at;
            continue;
        }
        gate_.withdraw(at->first);
        batch.again.push_back(at->second.second);
        at = atGate_.erase(at);
    }
}

void Batches::submitted(const RunId& id) {
    const RunRecord* run = parts_.runs.find(id);
    if (run != nullptr && run->state != RunState::Finished && run->report.outcome == Outcome::NotStarted)
        gate_.entered(id, run->request.capsule, run->target, run->request.trigger);
}

void Batches::started(const RunPlan& plan) { note(plan.id, RunState::Starting); }

void Batches::changed(const RunId& id, const Phases& phases) {
    if (phases.executing != 0) note(id, RunState::Running);
}

void Batches::note(const RunId& id, RunState state) {
    const auto found = byRun_.find(id);
    Batch* batch = found == byRun_.end() ? nullptr : known(found->second.first);
    if (batch == nullptr) return;
    auto& row = batch->record.rows[found->second.second];
    if (row.state >= state) return;
    row.state = state;
    batch->told = false;
    turnSoon(batch->record.id);
}

void Batches::finished(const RunReport& report) {
    if (const auto free = gate_.left(report.id)) letIn(*free);
    for (const auto& id : std::exchange(full_, {})) turnSoon(id);
    const auto found = byRun_.find(report.id);
    if (found == byRun_.end()) return;
    const auto [batchId, row] = found->second;
    byRun_.erase(found);
    Batch* batch = known(batchId);
    if (batch == nullptr) return;
    auto& entry = batch->record.rows[row];
    entry.exitCode = report.exitCode;
    if (const RunRecord* run = parts_.runs.find(report.id)) entry.escape = escape(*run);
    --batch->underWay;
    end(*batch, row, report.outcome, report.detail);
}

void Batches::turnSoon(const BatchId& id) {
    due_.insert(id);
    sd_event_source_set_enabled(turn_.get(), SD_EVENT_ON);
}

// What is made due meanwhile has the next turn, so that a large batch of quick refusals leaves room for others.
void Batches::turn() {
    for (const auto& id : std::exchange(due_, {})) {
        Batch* batch = known(id);
        if (batch == nullptr || batch->noting || batch->record.state == BatchState::Finished) continue;
        advance(*batch);
        if (!std::exchange(batch->told, true))
            for (auto* listener : listeners_) listener->batchChanged(id);
        if (batch->done == batch->record.rows.size()) conclude(*batch);
    }
}

void Batches::conclude(Batch& batch) {
    batch.record.state = BatchState::Finished;
    batch.allowed = {};
    batch.expected = {};
    batch.run = {};
    Kind& alike = kind(batch.record.trigger);
    --alike.running;
    alike.endedRows += batch.record.rows.size();
    for (auto* listener : listeners_) listener->batchFinished(batch.record.id);
    alike.ended.emplace_back(monotonicMicroseconds() + parts_.limits.keptUsec, batch.record.id);
    expire();
}

void Batches::expire() {
    const std::uint64_t now = monotonicMicroseconds();
    std::uint64_t next = UINT64_MAX;
    for (Kind* kind : {&asked_, &unasked_}) {
        expire(*kind, now);
        if (!kind->ended.empty()) next = std::min(next, kind->ended.front().first);
    }
    if (next == UINT64_MAX) return;
    sd_event_source_set_time(expiry_.get(), next);
    sd_event_source_set_enabled(expiry_.get(), SD_EVENT_ONESHOT);
}

void Batches::expire(Kind& kind, std::uint64_t now, std::size_t more) {
    const auto& limits = parts_.limits;
    while (!kind.ended.empty() && (kind.ended.size() > limits.ended || kind.ended.front().first <= now || kind.rows + more > limits.rows)) {
        const BatchId id = std::move(kind.ended.front().second);
        kind.ended.pop_front();
        const std::size_t rows = batches_.at(id).record.rows.size();
        kind.rows -= rows;
        kind.endedRows -= rows;
        batches_.erase(id);
        for (auto* listener : listeners_) listener->batchExpired(id);
    }
}

int Batches::onTurn(sd_event_source* source, void* self) {
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    static_cast<Batches*>(self)->turn();
    return 0;
}

int Batches::onRetry(sd_event_source*, std::uint64_t, void* self) {
    auto& batches = *static_cast<Batches*>(self);
    for (const auto& id : std::exchange(batches.full_, {})) batches.turnSoon(id);
    return 0;
}

int Batches::onExpiry(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Batches*>(self)->expire();
    return 0;
}

}  // namespace recap
