// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/ledger.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>

#include "daemon/engine/ledger_rows.hpp"

namespace recap {
namespace {

// How long an intent may wait for company. A run that ends sooner costs one fsync in all.
constexpr std::chrono::milliseconds kGroup{50};
constexpr std::uint32_t kMaxRows = 1001;  // a page of a thousand, and whether there is more

Result<void> execute(sqlite3* database, const char* sql, const std::string& path) {
    if (::sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return fail(Errc::Io, "ledger " + path + ": " + ::sqlite3_errmsg(database));
}

}  // namespace

void Ledger::Close::operator()(sqlite3* database) const { ::sqlite3_close(database); }

Result<std::unique_ptr<Ledger>> Ledger::open(sd_event* loop, const std::string& path) {
    std::unique_ptr<Ledger> ledger(new Ledger);
    const auto connect = [&](Database& into) -> Result<void> {
        sqlite3* database = nullptr;
        const int result = ::sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
        into.reset(database);
        if (result != SQLITE_OK) return fail(Errc::Io, "ledger " + path + ": " + ::sqlite3_errmsg(database));
        ::sqlite3_busy_timeout(database, 5000);
        return execute(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;", path);
    };
    if (auto connected = connect(ledger->writer_); !connected) return forward(std::move(connected));
    if (auto made = execute(ledger->writer_.get(), kLedgerSchema, path); !made) return forward(std::move(made));
    if (auto connected = connect(ledger->reader_); !connected) return forward(std::move(connected));
    ledger->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!ledger->wake_) return failErrno("eventfd of the ledger");
    sd_event_source* source = nullptr;
    const int error = sd_event_add_io(loop, &source, ledger->wake_.get(), EPOLLIN, onCommitted, ledger.get());
    if (error < 0) return failErrno("watch the ledger", -error);
    ledger->committed_.reset(source);
    ledger->worker_ = std::thread([self = ledger.get()] { self->work(); });
    return ledger;
}

Ledger::~Ledger() {
    if (!worker_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    worker_.join();
}

void Ledger::intend(const RunRecord& run) { enqueue({run, 0, {}}, false); }

void Ledger::report(const RunRecord& run, Done durable) { enqueue({run, microseconds(CLOCK_REALTIME), std::move(durable)}, true); }

void Ledger::enqueue(Row row, bool urgent) {
    // Nothing of a run that keeps descriptors open may stay with the worker.
    row.run.plan.reset();
    row.run.request.stdio = {};
    bool wake = urgent;
    {
        const std::lock_guard lock(mutex_);
        wake = wake || queue_.empty();
        queue_.push_back(std::move(row));
        urgent_ = urgent_ || urgent;
    }
    if (wake) changed_.notify_one();
}

void Ledger::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        changed_.wait_for(lock, kGroup, [this] { return stopping_ || urgent_; });
        auto rows = std::exchange(queue_, {});
        urgent_ = false;
        lock.unlock();
        const auto written = commit(rows);
        lock.lock();
        for (auto& row : rows) {
            if (row.durable) done_.emplace_back(std::move(row.durable), written);
        }
        if (!done_.empty()) ::eventfd_write(wake_.get(), 1);
    }
}

Result<void> Ledger::commit(const std::vector<Row>& rows) {
    sqlite3* database = writer_.get();
    if (auto begun = execute(database, "BEGIN IMMEDIATE", "begin"); !begun) return begun;
    Statement upsert(database, kUpsertRun);
    for (const auto& row : rows) {
        bindRun(upsert, row.run, row.ended);
        upsert.step();
        if (auto written = upsert.outcome("ledger: write run " + row.run.id); !written) {
            ::sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
            return written;
        }
        upsert.again();
    }
    auto committed = execute(database, "COMMIT", "commit");
    if (!committed) ::sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
    return committed;
}

int Ledger::onCommitted(sd_event_source*, int fd, std::uint32_t, void* self) {
    auto& ledger = *static_cast<Ledger*>(self);
    eventfd_t count = 0;
    ::eventfd_read(fd, &count);
    std::vector<std::pair<Done, Result<void>>> done;
    {
        const std::lock_guard lock(ledger.mutex_);
        done.swap(ledger.done_);
    }
    for (auto& [durable, result] : done) durable(result);
    return 0;
}

Result<std::vector<RunRecord>> Ledger::select(const std::string& condition, const std::vector<std::string>& texts, std::uint32_t limit) const {
    Statement statement(reader_.get(), kSelectRun + condition + " ORDER BY id DESC LIMIT " + std::to_string(limit));
    for (const auto& text : texts) statement.bind(text);
    std::vector<RunRecord> runs;
    while (statement.step()) runs.push_back(readRun(statement));
    if (auto read = statement.outcome("ledger: read"); !read) return forward(std::move(read));
    return runs;
}

Result<std::vector<RunRecord>> Ledger::query(const RunFilter& filter) const {
    std::string condition = "WHERE started >= " + std::to_string(std::min<std::uint64_t>(filter.since, INT64_MAX));
    std::vector<std::string> texts;
    const auto equal = [&](const char* test, const std::string& value) {
        if (value.empty()) return;
        condition += std::string(" AND ") + test;
        texts.push_back(value);
    };
    equal("capsule = ?", filter.capsule);
    equal("target = ?", filter.target);
    equal("state = ?", filter.state);
    equal("outcome = ?", filter.outcome);
    equal("id < ?", filter.before);
    return select(condition, texts, std::min(filter.limit, kMaxRows));
}

Result<std::optional<RunRecord>> Ledger::find(const RunId& id) const {
    auto rows = select("WHERE id = ?", {id}, 1);
    if (!rows) return forward(std::move(rows));
    if (rows->empty()) return std::optional<RunRecord>();
    return std::optional(std::move(rows->front()));
}

Result<std::vector<RunRecord>> Ledger::unfinished() const { return select("WHERE ended = 0", {}, 1'000'000); }

Result<std::vector<RunRecord>> Ledger::endedSince(std::uint64_t realtime) const {
    return select("WHERE ended > " + std::to_string(realtime), {}, kMaxRows);
}

}  // namespace recap
