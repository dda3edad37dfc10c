// SPDX-License-Identifier: Apache-2.0
// The run table as other rooms see it. Implemented by daemon/engine; on the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/core/run.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

enum class RunState { Pending, Starting, Running, Finished };  // accepted; handed to the launcher; executing; reported
constexpr std::string_view name(RunState state) {
    constexpr std::string_view names[] = {"pending", "starting", "running", "finished"};
    return names[static_cast<std::size_t>(state)];
}

struct RunRecord {
    RunId id;
    RunState state = RunState::Pending;
    std::string target;  // BACKEND:ID once resolved; what was asked for before
    RunRequest request;
    bool tty = false;
    bool untrusted = false;               // targetMayTrace() its plan; false until planned
    bool handedOver = false;              // to the launcher, whose journal has what becomes of it; false of what only the ledger knows
    std::string tenant;                   // whose its target was; empty: nobody's, or it was not planned
    std::shared_ptr<const RunPlan> plan;  // null until planned, and of a run that an earlier recapd planned
    Phases phases;
    RunReport report;              // once finished
    std::uint64_t started = 0;     // CLOCK_REALTIME, µs
    std::uint64_t filesUntil = 0;  // likewise: until then its log and artifacts are kept; 0: it left none
};

// "clean", or what was left behind; empty until finished.
inline std::string escape(const RunRecord& run) {
    if (run.state != RunState::Finished) return {};
    if (run.report.left.empty()) return "clean";
    std::string text = "left:";
    for (const auto& thing : run.report.left) text += " " + thing + ";";
    text.pop_back();
    return text;
}

struct RunFilter {  // empty: any
    std::string capsule;
    std::string target;
    std::string state;
    std::string outcome;
    std::string trigger;
    std::string batch;
    std::uint64_t since = 0;           // CLOCK_REALTIME, µs; of the start
    std::uint64_t until = UINT64_MAX;  // likewise
    std::uint32_t limit = 100;
    RunId before;  // rows older than this one
};
struct RunPage {
    std::vector<RunRecord> runs;  // newest first
    RunId next;                   // for `before`; empty: no more
};

// Of a run that has ended, what its chains go by.
struct EndedRun {
    RunId id;
    std::string target;
    Outcome outcome = Outcome::NotStarted;
    int exitCode = 0;
};

// How a capsule fares that starts by itself: of what nobody asked for.
struct CapsuleHealth {
    std::uint32_t failures = 0;        // in a row
    std::uint64_t backedOffUntil = 0;  // CLOCK_REALTIME, µs: until then it is not started by itself; 0: it is
};

struct OutputChunk {
    std::vector<std::uint8_t> data;
    bool eof = false;
};
struct Artifact {
    std::string name;
    std::uint64_t size = 0;
    std::uint32_t mode = 0;
};

enum class Stream { Stdout = 1, Stderr = 2 };

class RunTable : public RunSink {
public:
    template <class T>
    using Reply = std::function<void(Result<T>)>;

    virtual const RunRecord* find(const RunId& id) const = 0;  // those that are objects; null: only the ledger may know it
    virtual std::vector<const RunRecord*> current() const = 0;
    virtual Result<RunPage> list(const RunFilter& filter) const = 0;
    // Is there a row of this capsule for that very event, by its kind and cause, from `since` on (CLOCK_REALTIME, µs)?
    virtual Result<bool> actedOn(const std::string& capsule, const Occurrence& occurrence, std::uint64_t since) const = 0;
    // Runs of `capsule` that ended from `since` to `until` and that no row of `by` says it was started for, or was told to have missed: of
    // those whose end listeners have heard of, the soonest first.
    virtual Result<std::vector<EndedRun>> unchained(const std::string& capsule, const std::string& by, std::uint64_t since,
                                                    std::uint64_t until, std::uint32_t limit) const = 0;
    virtual std::uint64_t lastEnd() const = 0;  // likewise, of a run that an earlier recapd wrote down last; 0: none
    virtual CapsuleHealth health(const std::string&) const { return {}; }  // of a capsule, by name
    // Runs like this one that are to be submitted by and by, one on each of these targets (BACKEND:ID): rows of the ledger from now on,
    // so that the next recapd says which ones one that is killed did not come to. Each id goes into RunRequest::expected of the one
    // submit() or leaveOut() that follows. `durable`, on the loop: after the fsync, which is at once where that is given, and else soon.
    virtual Result<std::vector<RunId>> expect(const RunRequest& request, const std::vector<std::string>& targets,
                                              std::function<void(Result<void>)> durable) = 0;
    // A run that does not happen is a fact too: a row with this outcome and sentence. Nothing is checked or started; its record has
    // that outcome from submitted() on.
    virtual Result<RunId> leaveOut(RunRequest request, Outcome outcome, std::string why) = 0;
    Result<RunId> skip(RunRequest request, std::string why) { return leaveOut(std::move(request), Outcome::Skipped, std::move(why)); }
    // What submit() would do, without doing it.
    virtual void plan(RunRequest request, Reply<RunPlan> reply) = 0;
    virtual void stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) = 0;
    virtual void signal(const RunId& id, int signal, Reply<void> reply) = 0;
    virtual void attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) = 0;
    virtual void resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) = 0;
    // It ends with its caller no longer.
    virtual Result<void> detach(const RunId& id) = 0;
    virtual Result<OutputChunk> output(const RunId& id, Stream stream, std::uint64_t offset, std::uint32_t max) = 0;
    virtual Result<UniqueFd> openOutput(const RunId& id, Stream stream) = 0;  // a pipe; follows a run under way
    // Both wait for the artifacts of a run that has just ended.
    virtual void artifacts(const RunId& id, Reply<std::vector<Artifact>> reply) = 0;
    virtual void openArtifact(const RunId& id, const std::string& name, Reply<UniqueFd> reply) = 0;
    // The bus name is gone: its runs with lifetime "caller" are stopped.
    virtual void callerGone(const std::string& busName) = 0;
};

}  // namespace recap
