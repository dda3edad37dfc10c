// SPDX-License-Identifier: Apache-2.0
// Runs started as one. Implemented by daemon/triggers; on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/run.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/selection.hpp"
#include "sdk/base/result.hpp"

namespace recap {

using BatchId = std::string;  // ULID, 26 characters

// One of the targets of a batch whose caller had to be asked about: the answer is what the run there is submitted with, or why it is not.
struct BatchTarget {
    TargetId target;
    std::string name;
    Result<std::optional<Authorisation>> allowed;
};

struct BatchRequest {
    RunRequest run;       // of each; its target is not looked at
    Selection selection;  // in addition to the capsule's own: both have to be met, the lesser number counts
    // What choose() gave, with the answers. None: nobody has to be asked, and it is what choose() gives now.
    std::optional<std::vector<BatchTarget>> targets;
};

enum class BatchState { Running, Finished };
constexpr std::string_view name(BatchState state) { return state == BatchState::Running ? "running" : "finished"; }

// A target of a batch and what became of it there.
struct BatchRow {
    TargetId target;
    std::string name;  // of the target
    RunId run;         // empty: it was not submitted
    RunState state = RunState::Pending;
    Outcome outcome = Outcome::NotStarted;  // once finished
    int exitCode = 0;
    std::string detail;
    std::string escape;
};

struct BatchRecord {
    BatchId id;
    std::string capsule;
    Trigger trigger = Trigger::OnDemand;
    std::shared_ptr<const Occurrence> occurrence;  // of Trigger::Event
    Caller caller;
    BatchState state = BatchState::Running;
    std::vector<BatchRow> rows;  // in the order in which they are started
    std::uint64_t started = 0;   // CLOCK_REALTIME, µs
};

// How many rows of each state, and of each outcome once finished.
std::map<std::string, std::uint32_t> counts(const BatchRecord& batch);

class BatchTable {
public:
    template <class T>
    using Reply = std::function<void(Result<T>)>;

    using Reachable = std::function<bool(const Target& target)>;  // empty: all are

    virtual ~BatchTable() = default;
    // The targets that capsule and selection have in common, in the order in which their runs start. Valid until the loop's next turn.
    virtual Result<std::vector<const Target*>> choose(const std::string& capsule, const Selection& asked,
                                                      const Reachable& reachable) const = 0;
    // Answers before any run is submitted. NotFound: the capsule; what no target matches is a batch that is finished at once, with no rows.
    virtual Result<BatchId> start(BatchRequest request) = 0;
    virtual const BatchRecord* findBatch(const BatchId& id) const = 0;  // those that are objects
    virtual std::vector<const BatchRecord*> currentBatches() const = 0;
    // Starts no further run, and stops those under way; answers once each has been told.
    virtual void stopBatch(const BatchId& id, std::chrono::microseconds grace, Reply<void> reply) = 0;
    // The bus name is gone: its batches with lifetime "caller" are stopped; the runs under way are RunTable's to stop.
    virtual void batchCallerGone(const std::string& busName) = 0;
};

// On the loop; each batch exactly one finished(), ten minutes later one expired().
class BatchListener {
public:
    virtual ~BatchListener() = default;
    virtual void batchStarted(const BatchId& id) = 0;
    virtual void batchChanged(const BatchId& id) = 0;  // its counts; at most once a turn of the loop
    virtual void batchRowFinished(const BatchId&, const BatchRow&) {}
    virtual void batchFinished(const BatchId& id) = 0;
    virtual void batchExpired(const BatchId& id) = 0;
};

}  // namespace recap
