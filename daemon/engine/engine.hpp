// SPDX-License-Identifier: Apache-2.0
// The run table: takes requests, has them planned, gives plans to the launcher, and sees each run to its report, its row in
// the ledger and its kept output. Lives on the loop; knows every other room by its interface only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "daemon/core/capsules.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/launcher.hpp"
#include "daemon/core/planner.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/settings.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/core/ulid.hpp"
#include "daemon/engine/estate.hpp"
#include "daemon/engine/health.hpp"
#include "daemon/engine/ledger.hpp"
#include "daemon/engine/log_reader.hpp"
#include "daemon/engine/pump.hpp"
#include "daemon/engine/run_queue.hpp"
#include "daemon/engine/under_way.hpp"

namespace recap {

struct EngineLimits {
    RunLimits runs = {};
    std::size_t ended = 2048;                         // that are objects: beyond, the oldest are in the ledger only
    std::uint64_t keptUsec = 10ull * 60 * 1'000'000;  // how long an ended run stays an object
    std::uint64_t retryUsec = 5'000'000;              // until what could not be written down or brought in is tried again
    std::uint64_t sweepUsec = 3600ull * 1'000'000;
    std::uint64_t rowsUsec = 90ull * 24 * 3600 * 1'000'000;  // how long an ended run has a row
    std::uint64_t rows = 100'000;                            // of ended runs
};

struct EngineParts {  // all outlive the engine
    sd_event* loop;
    Launcher& launcher;
    Planner& planner;
    const CapsuleStore& capsules;
    TargetTable& targets;
    Ledger& ledger;
    Estates& estates;
    // Root admits images at the launcher, which tells nobody: asked again before a run is refused for it.
    std::function<void(std::function<void()> then)> refreshAdmissions;
    EngineLimits limits = {};
};

struct ArtifactIndex;

class Engine final : public RunTable, public LaunchEvents {
public:
    static Result<std::unique_ptr<Engine>> create(const EngineParts& parts);
    ~Engine() override;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    void listen(RunListener& listener) { listeners_.push_back(&listener); }
    // Runs that ended in the last ten minutes are objects again, and what is kept no longer goes, hourly from now on. Once,
    // before the bus is opened.
    Result<void> restore();
    void limit(const RunLimits& limits);

    Result<RunId> submit(RunRequest request) override;
    Result<std::vector<RunId>> expect(const RunRequest& request, const std::vector<std::string>& targets,
                                      std::function<void(Result<void>)> durable) override;
    Result<RunId> leaveOut(RunRequest request, Outcome outcome, std::string why) override;
    const RunRecord* find(const RunId& id) const override;
    std::vector<const RunRecord*> current() const override;
    Result<RunPage> list(const RunFilter& filter) const override;
    Result<bool> actedOn(const std::string& capsule, const Occurrence& occurrence, std::uint64_t since) const override;
    Result<std::vector<EndedRun>> unchained(const std::string& capsule, const std::string& by, std::uint64_t since, std::uint64_t until,
                                            std::uint32_t limit) const override;
    std::uint64_t lastEnd() const override { return lastEnd_; }
    CapsuleHealth health(const std::string& capsule) const override;
    void plan(RunRequest request, Reply<RunPlan> reply) override;
    void stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) override;
    void signal(const RunId& id, int signal, Reply<void> reply) override;
    void attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) override;
    void resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) override;
    Result<void> detach(const RunId& id) override;
    Result<OutputChunk> output(const RunId& id, Stream stream, std::uint64_t offset, std::uint32_t max) override;
    Result<UniqueFd> openOutput(const RunId& id, Stream stream) override;
    void artifacts(const RunId& id, Reply<std::vector<Artifact>> reply) override;
    void openArtifact(const RunId& id, const std::string& name, Reply<UniqueFd> reply) override;
    void callerGone(const std::string& busName) override;

    void progressed(const RunId& id, const Phases& phases) override;
    void ended(RunReport report) override;
    void connected() override;
    void disconnected(Error why) override;

private:
    enum class Estate { None, Waiting, Kept, Failed };  // of the run at the launcher, and in our folder

    struct Run {
        RunRecord record;
        std::shared_ptr<RunPlan> plan;   // also record.plan
        std::shared_ptr<LogReader> log;  // the launcher's memory, then our file
        Estate estate = Estate::None;
        Error estateProblem;
        bool concluded = false;  // has its report; the ledger may still be writing it
        bool durable = false;
        bool noted = false;  // that it is to be is durable
        bool askedAdmission = false;
        bool askedTarget = false;
        bool askedToEnd = false;
        std::shared_ptr<const ArtifactIndex> index;  // of the last few that were asked for artifacts
        std::vector<std::function<void()>> onceKept;
        std::vector<std::function<void()>> onceHandedOver;  // to the launcher; or refused before
    };

    explicit Engine(const EngineParts& parts) : parts_(parts), queue_(parts.limits.runs), pumps_(parts.loop) { limit(parts.limits.runs); }

    // The way of a run, in order.
    void begin(const RunId& id);
    void enter(Run& run, const Result<Target>& target);
    void letOn();
    void decide(Run& run, const Result<Target>& target);
    Result<RunPlan> makePlan(const RunId& id, const RunRequest& request, const Target& target);
    void launch(Run& run, RunPlan plan);
    void handOver(Run& run);
    void launched(const RunId& id, Result<UniqueFd> log);
    bool lookAgain(Run& run, const Error& why);
    void refuse(Run& run, const Error& why);
    void conclude(Run& run, RunReport report);
    void announce(Run& run, const Result<void>& durable);
    void acknowledge(const Run& run);

    // What a run leaves, and what is tried again (endings.cpp).
    void keepEstate(Run& run);
    void bringIn(Run& run);
    void broughtIn(const RunId& id, const Result<void>& kept);
    void retryLater();
    void retry();
    void sweep();
    void remove(std::unordered_set<RunId> wanted, const RunId& newest);
    void expireLater(const Run& run);
    void expireFirst();
    void armExpiry();

    // A launcher that has run on without us, or we without it (adoption.cpp).
    void unknown(const Error& why);
    void noteEnds(std::vector<LaunchedRun>& runs) const;
    void listed(const std::vector<LaunchedRun>& runs, const std::set<RunId>& handedOver);
    void adopt(const LaunchedRun& launched);
    void resume(Run& run, const LaunchedRun& launched);
    void declareLost(Run& run);
    void loseUnknown(const std::set<RunId>& present);
    Run& insert(RunRecord record);
    RunRecord recordOf(RunRequest request);
    Result<void> checkLedger() const;
    std::uint64_t revisionOf(const std::string& capsule) const;
    void noteHealth(const Run& run);
    std::string leftAlone(const std::string& capsule) const;
    Result<void> restoreHealth();

    Run* known(const RunId& id);
    void whenHandedOver(const RunId& id, std::function<void(Result<void>)> then);
    Result<std::shared_ptr<const ArtifactIndex>> indexOf(Run& run);
    Result<std::shared_ptr<LogReader>> logOf(Run& run);
    void whenKept(const RunId& id, std::function<void(Result<Run*>)> then);
    static int onTurn(sd_event_source* source, void* self);
    static int onExpiry(sd_event_source* source, std::uint64_t now, void* self);
    static int onRetry(sd_event_source* source, std::uint64_t now, void* self);
    static int onSweep(sd_event_source* source, std::uint64_t now, void* self);

    EngineParts parts_;
    std::vector<RunListener*> listeners_;
    std::unordered_map<RunId, Run> runs_;
    UnderWay underWay_;
    RunQueue queue_;
    Health health_;
    std::deque<std::pair<std::uint64_t, RunId>> expiries_;  // CLOCK_MONOTONIC, µs; each ended run once, in order
    std::deque<RunId> indexed_;                             // whose artifacts' index is held
    unsigned listings_ = 0;                                 // LIST is under way
    std::map<RunId, RunReport> endedMeanwhile_;             // of runs that are not known, while it is
    std::uint64_t lastEnd_ = 0;
    std::unordered_map<RunId, bool> expected_;  // true: durable
    std::set<RunId> unwritten_;                 // whose report the ledger could not take
    std::set<RunId> unkept_;                    // whose estate could not be brought in
    bool unlisted_ = false;                     // the launcher has not told its runs
    bool retrying_ = false;
    std::deque<RunId> accepted_;  // to begin on the next turn
    EventSource turn_;
    EventSource expiry_;
    EventSource retry_;
    EventSource sweep_;
    UlidSource ids_;
    Pumps pumps_;
    bool reconciled_ = false;  // with the ledger, once after start
};

// What a kept tar has: made once, however many artifacts are opened.
struct ArtifactIndex {
    struct Range {
        std::uint64_t offset = 0;
        std::uint64_t size = 0;
    };
    std::vector<Artifact> all;
    std::unordered_map<std::string, Range> ranges;
};

Outcome outcomeOf(Errc refusal);
Result<void> checkArguments(const RunRequest& request);

}  // namespace recap
