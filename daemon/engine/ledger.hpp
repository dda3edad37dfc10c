// SPDX-License-Identifier: Apache-2.0
// The durable record of runs: one row a run, in SQLite. Writing is done by one worker thread, so that the loop never waits
// for a disk; whatever is queued becomes one transaction with one fsync.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/core/event.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/engine/sqlite.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

struct LedgerLimits {
    std::uint64_t endedBefore = 0;  // CLOCK_REALTIME, µs: rows of runs that ended before go
    std::uint64_t rows = 100'000;   // of ended runs
};

class Ledger {
public:
    using Done = std::function<void(Result<void>)>;
    using Wanted = std::function<void(Result<std::vector<RunId>>)>;

    static Result<std::unique_ptr<Ledger>> open(sd_event* loop, const std::string& path);
    ~Ledger();  // what is queued is written first; callbacks are not called any more
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;

    // A run has been accepted: durable soon, together with others or with its own report. Where somebody waits for that: at once, and
    // `durable` comes on the loop after the fsync.
    void intend(const RunRecord& run, Done durable = {});
    // A run has ended: `durable` comes on the loop after the fsync.
    void report(const RunRecord& run, Done durable);

    // Removes old rows, a few at a time, and then tells whose files are still to be kept: of runs that have not ended, or whose
    // `filesUntil` has not come. One sweep at a time.
    void sweep(const LedgerLimits& limits, Wanted wanted);

    Result<std::vector<RunRecord>> query(const RunFilter& filter) const;  // at most filter.limit, newest first
    Result<std::optional<RunRecord>> find(const RunId& id) const;
    Result<std::vector<RunRecord>> unfinished() const;
    Result<std::vector<RunRecord>> endedSince(std::uint64_t realtime) const;
    // What an event is told apart by (ledger_events.cpp); as RunTable has them.
    Result<bool> hasEvent(const std::string& capsule, const Occurrence& occurrence, std::uint64_t since) const;
    Result<std::vector<EndedRun>> unchained(const std::string& capsule, const std::string& by, std::uint64_t since, std::uint64_t until,
                                            std::uint32_t limit) const;
    Result<std::uint64_t> lastEnd() const;

private:
    struct Row {
        RunRecord run;
        std::uint64_t ended = 0;  // CLOCK_REALTIME, µs; 0: not yet
        Done durable;
        Result<void> written;
    };
    struct Sweep {
        LedgerLimits limits;
        Wanted wanted;
    };
    struct Close {
        void operator()(sqlite3* database) const;
    };
    using Database = std::unique_ptr<sqlite3, Close>;

    Ledger() = default;
    void enqueue(Row row, bool urgent);
    void work();
    void write(std::vector<Row>& rows);
    void checkpoint();
    Result<void> commit(std::vector<Row>& rows);
    std::optional<Result<std::vector<RunId>>> sweepSome(const LedgerLimits& limits);
    void tellSwept(Result<std::vector<RunId>> ids);
    Result<bool> removeSome(const LedgerLimits& limits);  // true: there are more
    Result<std::vector<RunId>> wanted() const;
    Result<std::vector<RunRecord>> select(const std::string& condition, const std::vector<std::string>& texts, std::uint32_t limit) const;
    static int onCommitted(sd_event_source* source, int fd, std::uint32_t events, void* self);

    Database writer_;  // the worker's
    std::optional<Statement> upsert_;
    int logPages_ = 0;  // of the write-ahead log, after the last commit
    Database reader_;   // the loop's
    UniqueFd wake_;     // eventfd: `done_` has something
    EventSource committed_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Row> queue_;
    bool urgent_ = false;
    bool stopping_ = false;
    std::optional<Sweep> sweep_;
    std::vector<std::function<void()>> done_;
    std::thread worker_;
};

}  // namespace recap
