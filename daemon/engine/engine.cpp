// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/engine.hpp"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>

#include "daemon/core/host.hpp"
#include "daemon/core/process.hpp"
#include "daemon/engine/event_input.hpp"

namespace recap {
namespace {

constexpr std::size_t kMaxArguments = 512;
constexpr std::size_t kMaxArgumentBytes = 64 * 1024;
constexpr std::size_t kMostMeanwhile = 8192;
constexpr int kLetOnATime = 64;                   // in a turn: others have theirs in between
constexpr int kExpiredATime = 8;                  // more than end at a time
constexpr std::chrono::hours kUsualKeep{7 * 24};  // a manifest's, where it is not known: an earlier recapd planned the run
constexpr std::chrono::hours kLongestKeep{10 * 365 * 24};

std::uint64_t keepUsec(std::chrono::seconds keep) {
    const auto bounded = std::clamp<std::chrono::seconds>(keep, std::chrono::seconds(0), kLongestKeep);
    return static_cast<std::uint64_t>(bounded.count()) * 1'000'000;
}

}  // namespace

Result<void> checkArguments(const RunRequest& request) {
    std::size_t bytes = 0;
    for (const auto& argument : request.args) bytes += argument.size() + 1;
    if (request.args.size() > kMaxArguments || bytes > kMaxArgumentBytes)
        return fail(Errc::InvalidArgument, std::to_string(request.args.size()) + " arguments of " + std::to_string(bytes) +
                                               " bytes; at most " + std::to_string(kMaxArguments) + " of " +
                                               std::to_string(kMaxArgumentBytes) + " bytes are taken");
    return {};
}

Outcome outcomeOf(Errc refusal) {
    if (refusal == Errc::Denied || refusal == Errc::AccessDenied) return Outcome::Denied;
    return refusal == Errc::TargetGone ? Outcome::TargetGone : Outcome::NotStarted;
}

Result<std::unique_ptr<Engine>> Engine::create(const EngineParts& parts) {
    std::unique_ptr<Engine> engine(new Engine(parts));
    sd_event_source* source = nullptr;
    int error = sd_event_add_defer(parts.loop, &source, onTurn, engine.get());
    if (error < 0) return failErrno("the engine's turn", -error);
    engine->turn_.reset(source);
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    struct Timer {
        EventSource& source;
        sd_event_time_handler_t handler;
        std::uint64_t accuracy;
    };
    for (const auto& timer : {Timer{engine->expiry_, onExpiry, 10'000'000}, Timer{engine->retry_, onRetry, 250'000},
                              Timer{engine->sweep_, onSweep, 60'000'000}}) {
        error = sd_event_add_time(parts.loop, &source, CLOCK_MONOTONIC, 0, timer.accuracy, timer.handler, engine.get());
        if (error < 0) return failErrno("the engine's timer", -error);
        timer.source.reset(source);
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
    }
    return engine;
}

Engine::~Engine() = default;

void Engine::limit(const RunLimits& limits) {
    underWay_.limit(std::size_t{limits.runs} + limits.queue);
    queue_.limit(limits);
    if (queue_.due()) sd_event_source_set_enabled(turn_.get(), SD_EVENT_ON);
}

Result<RunId> Engine::submit(RunRequest request) {
    if (auto checked = checkArguments(request); !checked) return forward(std::move(checked));
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    if (health_.backedOffUntil(request, revisionOf(request.capsule), now) != 0) {
        std::string why = "the capsule" + leftAlone(request.capsule);
        return skip(std::move(request), std::move(why));
    }
    if (auto admitted = underWay_.admit(request); !admitted) return forward(std::move(admitted));
    if (auto admitted = queue_.admit(request.trigger); !admitted) return forward(std::move(admitted));
    if (auto writable = checkLedger(); !writable) return forward(std::move(writable));
    Run& run = insert(recordOf(std::move(request)));
    if (const auto expected = expected_.extract(run.record.id); expected.empty())
        parts_.ledger.intend(run.record);
    else
        run.noted = expected.mapped();
    accepted_.push_back(run.record.id);
    sd_event_source_set_enabled(turn_.get(), SD_EVENT_ON);
    return run.record.id;
}

// All in one transaction, whose last row tells of its fsync.
Result<std::vector<RunId>> Engine::expect(const RunRequest& request, const std::vector<std::string>& targets,
                                          std::function<void(Result<void>)> durable) {
    if (auto writable = checkLedger(); !writable) return forward(std::move(writable));
    std::vector<RunId> ids;
    for (const auto& target : targets) {
        RunRecord record = recordOf(request);
        record.target = record.request.target = target;
        expected_.emplace(record.id, false);
        ids.push_back(record.id);
        const bool last = ids.size() == targets.size();
        parts_.ledger.intend(record, last && durable ? Ledger::Done([this, ids, durable = std::move(durable)](const Result<void>& written) {
                                 for (const auto& id : ids)
                                     if (const auto expected = expected_.find(id); written && expected != expected_.end())
                                         expected->second = true;
                                 durable(written);
                             })
                                                     : Ledger::Done());
    }
    return ids;
}

Result<RunId> Engine::leaveOut(RunRequest request, Outcome outcome, std::string why) {
    if (auto writable = checkLedger(); !writable) return forward(std::move(writable));
    RunRecord record = recordOf(std::move(request));
    record.report.outcome = outcome;  // from the start: nobody takes it for one that is under way
    expected_.erase(record.id);
    Run& run = insert(std::move(record));
    const RunId id = run.record.id;
    RunReport report;
    report.outcome = outcome;
    report.detail = std::move(why);
    report.phases.finished = report.phases.escaped = monotonicMicroseconds();
    conclude(run, std::move(report));
    return id;
}

Result<void> Engine::checkLedger() const {
    if (unwritten_.size() < parts_.limits.ended) return {};
    return fail(Errc::LimitExceeded,
                "the reports of " + std::to_string(unwritten_.size()) + " runs can't be written to the ledger; is its disk full?");
}

RunRecord Engine::recordOf(RunRequest request) {
    RunRecord record;
    record.started = microseconds(CLOCK_REALTIME);
    record.id = request.expected.empty() ? ids_.next(record.started / 1000) : request.expected;
    record.target = request.target;
    record.request = std::move(request);
    if (record.request.received == 0) record.request.received = monotonicMicroseconds();
    record.phases.received = record.request.received;
    return record;
}

Engine::Run& Engine::insert(RunRecord record) {
    const RunId id = record.id;
    Run& run = runs_[id];
    run.record = std::move(record);
    run.concluded = run.durable = run.record.state == RunState::Finished;
    if (run.concluded) {
        expireLater(run);
    } else {
        underWay_.enter(run.record);
        if (run.record.state == RunState::Pending)
            queue_.arrive(run.record);
        else
            queue_.adopt(run.record);
    }
    for (auto* listener : listeners_) listener->submitted(id);
    return run;
}

int Engine::onTurn(sd_event_source* source, void* self) {
    auto& engine = *static_cast<Engine*>(self);
    auto accepted = std::exchange(engine.accepted_, {});
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    for (const auto& id : accepted) engine.begin(id);
    engine.letOn();
    return 0;
}

Engine::Run* Engine::known(const RunId& id) {
    const auto found = runs_.find(id);
    return found == runs_.end() ? nullptr : &found->second;
}

void Engine::begin(const RunId& id) {
    Run* run = known(id);
    if (run == nullptr || run->concluded) return;
    if (const auto capsule = parts_.capsules.find(run->record.request.capsule); !capsule) return refuse(*run, capsule.error());
    parts_.targets.whenReady(run->record.request.target, [this, id](const Result<Target>& target) {
        if (Run* waiting = known(id); waiting != nullptr && !waiting->concluded) enter(*waiting, target);
    });
}

// Planned only when it may go on: what was decided long ago may not hold any more.
void Engine::enter(Run& run, const Result<Target>& target) {
    if (!target) return refuse(run, target.error());
    run.record.target = target->id.text();
    if (queue_.enter(run.record.id, run.record.target)) return decide(run, target);
    run.record.report.detail = "waits for " + queue_.waitsFor(run.record.id);
    if (queue_.due()) sd_event_source_set_enabled(turn_.get(), SD_EVENT_ON);
}

void Engine::letOn() {
    for (int i = 0; i < kLetOnATime; ++i) {
        const auto id = queue_.next();
        if (!id) return;
        begin(*id);
    }
    sd_event_source_set_enabled(turn_.get(), SD_EVENT_ON);
}

void Engine::decide(Run& run, const Result<Target>& target) {
    if (!target) return refuse(run, target.error());
    run.record.report.detail.clear();
    run.record.target = target->id.text();
    auto plan = makePlan(run.record.id, run.record.request, *target);
    if (!plan && plan.error().code == Errc::NotAdmitted && !run.askedAdmission) {
        run.askedAdmission = true;
        return parts_.refreshAdmissions([this, id = run.record.id] { begin(id); });
    }
    if (!plan) return refuse(run, plan.error());
    if (!parts_.launcher.available()) return refuse(run, {Errc::Unavailable, "recap-launcher is away; is recap-launcher.service running?"});
    if (auto told = giveOccurrence(*plan); !told) return refuse(run, told.error());
    launch(run, std::move(*plan));
}

// What polkit allowed is what is planned: a reload or another container of the same name in between is noticed here.
Result<RunPlan> Engine::makePlan(const RunId& id, const RunRequest& request, const Target& target) {
    auto plan = parts_.planner.plan(id, request, target);
    if (!plan || !request.authorised) return plan;
    const Authorisation& allowed = *request.authorised;
    const auto capsule = parts_.capsules.find(request.capsule);
    const std::uint64_t revision = capsule ? (*capsule)->revision : 0;
    // What was inspected only since: the right that was asked for may have been the lesser one.
    const bool moreOfTheHost = (hostNamespaces(plan->sandbox, target) & ~allowed.hostNamespaces) != 0;
    const bool anotherLife = allowed.startTime != 0 && allowed.startTime != target.startTime;
    if (anotherLife || moreOfTheHost || allowed.backend != target.id.backend || allowed.digest != plan->imageDigest ||
        allowed.revision != revision)
        return fail(Errc::Denied, "capsule '" + request.capsule + "', its image or target '" + request.target +
                                      "' changed after the authorisation; ask again");
    return plan;
}

void Engine::launch(Run& run, RunPlan plan) {
    plan.planned = monotonicMicroseconds();
    run.record.phases.planned = plan.planned;
    run.plan = std::make_shared<RunPlan>(std::move(plan));
    run.record.plan = run.plan;
    run.record.tty = run.plan->tty;
    run.record.untrusted = targetMayTrace(*run.plan);
    const bool isAnothers = std::exchange(run.record.tenant, run.plan->tenant) != run.plan->tenant;
    // A later recapd that finds no row would take the event for one that nobody acted on, and act on it once more.
    if (run.record.request.occurrence && !run.noted)
        return parts_.ledger.intend(run.record, [this, id = run.record.id](const Result<void>& durable) {
            Run* noted = known(id);
            if (noted == nullptr) return;
            if (durable && !noted->concluded) return handOver(*noted);
            noted->plan->target.pidfd.reset();
            if (!noted->concluded) refuse(*noted, durable.error());
        });
    if (run.record.untrusted || isAnothers) parts_.ledger.intend(run.record);  // a later recapd that adopts the run does not have the plan
    handOver(run);
}

void Engine::handOver(Run& run) {
    run.record.state = RunState::Starting;
    run.record.handedOver = true;
    const RunId id = run.record.id;
    parts_.launcher.start(*run.plan, [this, id](Result<UniqueFd> log) { launched(id, std::move(log)); });
    for (auto& then : std::exchange(run.onceHandedOver, {})) then();
}

void Engine::launched(const RunId& id, Result<UniqueFd> log) {
    Run* run = known(id);
    if (run == nullptr || (!log && lookAgain(*run, log.error()))) return;
    // The capsule has its own copies now: ours would keep the caller's pipes open, and the target's pidfd.
    run->record.request.stdio = {};
    if (run->plan != nullptr) {
        run->plan->request.stdio = {};
        run->plan->target.pidfd.reset();
    }
    if (run->concluded) return;
    if (!log) return refuse(*run, log.error());
    if (*log) run->log = std::make_shared<LogReader>(std::move(*log));
    if (const auto plan = run->plan; plan != nullptr) {
        for (auto* listener : listeners_) listener->started(*plan);
    }
}

// The launcher sees the target as it is now, the plan was made for what INSPECT once found: where that has changed (another identity
// after an exec, another cgroup) it is planned and started once more.
bool Engine::lookAgain(Run& run, const Error& why) {
    if (run.concluded || run.askedTarget || (why.code != Errc::Denied && why.code != Errc::TargetGone)) return false;
    if (run.plan == nullptr || !run.plan->target.pidfd || recap::ended(*run.plan->target.pidfd)) return false;
    run.askedTarget = true;
    run.record.state = RunState::Pending;  // a stop meanwhile is ours to answer
    parts_.targets.refresh(run.plan->target.id,
                           [this, id = run.record.id, why, before = run.plan->target.facts](const Result<Target>& target) {
                               Run* again = known(id);
                               if (again == nullptr) return;
                               if (again->plan != nullptr) again->plan->target.pidfd.reset();
                               if (again->concluded) return;
                               if (target && target->facts == before) return refuse(*again, why);
                               decide(*again, target);
                           });
    return true;
}

void Engine::refuse(Run& run, const Error& why) {
    RunReport report;
    report.outcome = outcomeOf(why.code);
    report.error = why.code;
    report.exitCode = shellStatus(why.code);
    report.detail = why.message;
    report.phases.finished = report.phases.escaped = monotonicMicroseconds();
    conclude(run, std::move(report));
}

void Engine::progressed(const RunId& id, const Phases& phases) {
    Run* run = known(id);
    if (run == nullptr) return;
    if (run->concluded && run->estate == Estate::None)  // seemed not to have started: nobody waits for it
        return parts_.launcher.stop(id, std::chrono::seconds(0), [](const Result<void>&) {});
    if (run->concluded) return;
    auto& known = run->record.phases;
    if (phases.attached != 0) known.attached = phases.attached;
    if (phases.executing != 0) {
        known.executing = phases.executing;
        run->record.state = RunState::Running;
    }
    for (auto* listener : listeners_) listener->changed(id, known);
}

void Engine::ended(RunReport report) {
    Run* run = known(report.id);
    // One that is not known yet is in the list that connected() asks for, where it may still be running.
    if (run == nullptr && listings_ > 0 && endedMeanwhile_.size() < kMostMeanwhile) endedMeanwhile_[report.id] = report;
    if (run == nullptr) return;
    if (run->concluded && run->estate == Estate::None) return parts_.launcher.ack(run->record.id);  // seemed not to have started
    if (run->concluded) return acknowledge(*run);
    conclude(*run, std::move(report));
    keepEstate(*run);
}

void Engine::conclude(Run& run, RunReport report) {
    run.concluded = true;
    underWay_.leave(run.record);
    queue_.leave(run.record.id);
    if (queue_.due()) sd_event_source_set_enabled(turn_.get(), SD_EVENT_ON);
    report.id = run.record.id;
    report.phases.received = run.record.phases.received;
    report.phases.planned = run.record.phases.planned;
    run.record.phases = report.phases;
    run.record.report = std::move(report);
    noteHealth(run);
    if (run.record.report.logBytes > 0 || run.record.report.hasArtifacts)
        run.record.filesUntil = microseconds(CLOCK_REALTIME) + keepUsec(run.plan == nullptr ? kUsualKeep : run.plan->artifactsKeep);
    run.record.request.stdio = {};
    if (run.plan != nullptr) run.plan->request.stdio = {};
    for (auto& then : std::exchange(run.onceHandedOver, {})) then();
    parts_.ledger.report(run.record, [this, id = run.record.id](const Result<void>& durable) {
        if (Run* reported = known(id)) announce(*reported, durable);
    });
}

// Told once, even where the ledger's disk is full: nobody could wait for that. The launcher keeps the run until the row is durable.
void Engine::announce(Run& run, const Result<void>& durable) {
    run.durable = durable.has_value();
    if (run.durable) {
        unwritten_.erase(run.record.id);
    } else if (unwritten_.insert(run.record.id).second) {
        std::fprintf(stderr, SD_ERR "run %s has ended, but its row is not durable yet: %s\n", run.record.id.c_str(),
                     durable.error().message.c_str());
    }
    if (!run.durable) retryLater();
    if (run.record.state == RunState::Finished) return acknowledge(run);
    run.record.state = RunState::Finished;
    for (auto* listener : listeners_) listener->finished(run.record.report);
    acknowledge(run);
    expireLater(run);
    for (int i = 0; i < kExpiredATime && expiries_.size() > parts_.limits.ended; ++i) expireFirst();
}

// The launcher may forget a run once its row is durable and what it left is in our folder.
void Engine::acknowledge(const Run& run) {
    if (run.durable && run.estate == Estate::Kept) parts_.launcher.ack(run.record.id);
}

// In the order in which runs end: all are kept equally long.
void Engine::expireLater(const Run& run) {
    expiries_.emplace_back(monotonicMicroseconds() + parts_.limits.keptUsec, run.record.id);
    if (expiries_.size() == 1) armExpiry();
}

// What is still being written down or brought in stays for another time.
void Engine::expireFirst() {
    const RunId id = std::move(expiries_.front().second);
    expiries_.pop_front();
    const Run* run = known(id);
    if (run == nullptr) return;
    if (!run->durable || run->estate == Estate::Waiting) return expireLater(*run);
    runs_.erase(id);
    for (auto* listener : listeners_) listener->expired(id);
}

void Engine::armExpiry() {
    if (expiries_.empty()) return;
    sd_event_source_set_time(expiry_.get(), expiries_.front().first);
    sd_event_source_set_enabled(expiry_.get(), SD_EVENT_ONESHOT);
}

int Engine::onExpiry(sd_event_source*, std::uint64_t now, void* self) {
    auto& engine = *static_cast<Engine*>(self);
    while (!engine.expiries_.empty() && engine.expiries_.front().first <= now) engine.expireFirst();
    engine.armExpiry();
    return 0;
}

}  // namespace recap
