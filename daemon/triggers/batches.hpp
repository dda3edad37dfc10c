// SPDX-License-Identifier: Apache-2.0
// Runs started as one: whoever asks, a caller, a timer or an event, asks for a batch, and each of its rows goes through the one submit().
// Lives on the loop.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/core/ulid.hpp"
#include "daemon/triggers/gate.hpp"

namespace recap {

struct BatchLimits {
    std::size_t running = 64;    // that somebody asked for
    std::size_t unasked = 1024;  // that events and timers started: each event's is a batch, and they bound themselves
    // These hold for each of the two by themselves, so that no storm of events pushes out what somebody asked for.
    std::size_t rows = 100'000;                       // of all batches that are objects: ended ones make room, the oldest first
    std::size_t ended = 256;                          // that are objects: beyond, the oldest are in the ledger only, run by run
    std::uint64_t keptUsec = 10ull * 60 * 1'000'000;  // how long an ended batch stays an object
    std::uint64_t retryUsec = 1'000'000;              // until a run that found no room is submitted again, where none ends before
};

struct BatchParts {  // all outlive it
    sd_event* loop;
    RunTable& runs;
    const TargetTable& targets;
    const CapsuleStore& capsules;
    BatchLimits limits = {};
};

class Batches final : public BatchTable, public RunListener {
public:
    static Result<std::unique_ptr<Batches>> create(const BatchParts& parts);
    Batches(const Batches&) = delete;
    Batches& operator=(const Batches&) = delete;

    void listen(BatchListener& listener) { listeners_.push_back(&listener); }

    Result<std::vector<const Target*>> choose(const std::string& capsule, const Selection& asked,
                                              const Reachable& reachable) const override;
    Result<BatchId> start(BatchRequest request) override;
    const BatchRecord* findBatch(const BatchId& id) const override;
    std::vector<const BatchRecord*> currentBatches() const override;
    void stopBatch(const BatchId& id, std::chrono::microseconds grace, Reply<void> reply) override;
    void batchCallerGone(const std::string& busName) override;

    void submitted(const RunId& id) override;
    void started(const RunPlan& plan) override;
    void changed(const RunId& id, const Phases& phases) override;
    void finished(const RunReport& report) override;
    void expired(const RunId&) override {}

private:
    struct Batch {
        BatchRecord record;
        RunRequest run;
        std::uint32_t parallel = 1;
        std::size_t next = 0;                                       // first row that nothing was done about
        std::deque<std::size_t> again;                              // rows that could not be submitted yet
        std::vector<RunId> expected;                                // by row: what the ledger calls it
        std::vector<Result<std::optional<Authorisation>>> allowed;  // by row
        std::size_t underWay = 0;                                   // rows that run
        std::size_t done = 0;                                       // rows that are finished
        bool noting = false;                                        // the ledger's disk has not taken them yet
        bool stopping = false;
        bool told = true;  // of its counts
    };
    using RowPlace = std::pair<BatchId, std::size_t>;
    // Of the batches that somebody asked for, and of the others.
    struct Kind {
        std::size_t running = 0;
        std::size_t rows = 0;
        std::size_t endedRows = 0;                            // of these, what has ended
        std::deque<std::pair<std::uint64_t, BatchId>> ended;  // CLOCK_MONOTONIC, µs, when each expires
    };

    explicit Batches(const BatchParts& parts) : parts_(parts) {}

    Result<std::vector<BatchTarget>> targetsOf(BatchRequest& request) const;
    Result<void> checkRoom(const RunRequest& run, std::size_t rows) const;
    Result<void> checkShare(std::uint32_t uid, std::size_t rows) const;
    Kind& kind(Trigger trigger) { return trigger == Trigger::OnDemand ? asked_ : unasked_; }
    const Kind& kind(Trigger trigger) const { return trigger == Trigger::OnDemand ? asked_ : unasked_; }
    Batch* known(const BatchId& id);

    void tellOfNone(const BatchRecord& batch, const RunRequest& run, const Selection& asked);
    Result<void> expect(const BatchId& id);

    // The way of a row, in order.
    static std::optional<std::size_t> nextRow(Batch& batch);
    void advance(Batch& batch);
    void begin(Batch& batch, std::size_t row);
    void submit(Batch& batch, std::size_t row);
    void leaveOut(Batch& batch, std::size_t row, Outcome outcome, const std::string& why);
    void end(Batch& batch, std::size_t row, Outcome outcome, const std::string& detail);
    void note(const RunId& id, RunState state);

    RunRequest requestOf(const Batch& batch, std::size_t row) const;
    static Gate::Place placeOf(const Batch& batch, std::size_t row);
    void letIn(const Gate::Place& place);
    void withdrawWaiting(Batch& batch);
    void turnSoon(const BatchId& id);
    void turn();
    void conclude(Batch& batch);
    void expire();
    void expire(Kind& kind, std::uint64_t now, std::size_t more = 0);  // `more` rows are to come
    static int onTurn(sd_event_source* source, void* self);
    static int onRetry(sd_event_source* source, std::uint64_t now, void* self);
    static int onExpiry(sd_event_source* source, std::uint64_t now, void* self);

    BatchParts parts_;
    std::vector<BatchListener*> listeners_;
    std::map<BatchId, Batch> batches_;
    Kind asked_, unasked_;
    std::unordered_map<RunId, RowPlace> byRun_;
    std::map<Gate::Place, RowPlace> atGate_;
    Gate gate_;
    std::set<BatchId> due_;   // to be looked at on the next turn
    std::set<BatchId> full_;  // that found no room for a run
    EventSource turn_;
    EventSource retry_;
    EventSource expiry_;
    UlidSource ids_;
};

}  // namespace recap
