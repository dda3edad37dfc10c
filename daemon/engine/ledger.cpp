// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/ledger.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "daemon/engine/ledger_rows.hpp"

namespace recap {
namespace {

// How long an intent may wait for company. A run that ends sooner costs one fsync in all.
constexpr std::chrono::milliseconds kGroup{50};
// The log starts over once it is checkpointed: of this many pages at least, and then what is written overwrites, which a disk
// takes in far less time than a file that grows.
constexpr int kCheckpointed = 128;
constexpr int kSwept = 500;               // rows at a time
constexpr std::uint32_t kMaxRows = 1001;  // a page of a thousand, and whether there is more

Result<void> execute(sqlite3* database, const char* sql, const std::string& path) {
    if (::sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return fail(Errc::Io, "ledger " + path + ": " + ::sqlite3_errmsg(database));
}

Result<void> upgrade(sqlite3* database, const std::string& path) {
    if (auto made = execute(database, kLedgerSchema, path); !made) return made;
    std::uint64_t version = 0;
    {
        Statement statement(database, "PRAGMA user_version");
        if (statement.step()) version = statement.number();
    }
    if (version > kLedgerVersion)
        return fail(Errc::NotSupported, "ledger " + path + " is of version " + std::to_string(version) + ", by a newer recapd");
    for (version = std::max<std::uint64_t>(version, 1); version < kLedgerVersion; ++version) {
        auto upgraded = execute(database, kLedgerUpgrades[version - 1], path);
        if (upgraded) continue;
        ::sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
        return upgraded;
    }
    return {};
}

}  // namespace

void Ledger::Close::operator()(sqlite3* database) const { ::sqlite3_close(database); }

Result<std::unique_ptr<Ledger>> Ledger::open(sd_event* loop, const std::string& path) {
    std::unique_ptr<Ledger> ledger(new Ledger);
    const auto connect = [&](Database& into) -> Result<void> {
        sqlite3* database = nullptr;
        const int result =
            ::sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
        into.reset(database);
        if (result != SQLITE_OK) return fail(Errc::Io, "ledger " + path + ": " + ::sqlite3_errmsg(database));
        ::sqlite3_busy_timeout(database, 5000);
        return execute(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;", path);
    };
    if (auto connected = connect(ledger->writer_); !connected) return forward(std::move(connected));
    if (auto made = upgrade(ledger->writer_.get(), path); !made) return forward(std::move(made));
    ::sqlite3_wal_hook(
        ledger->writer_.get(),
        [](void* self, sqlite3*, const char*, int pages) { return static_cast<Ledger*>(self)->logPages_ = pages, SQLITE_OK; },
        ledger.get());
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

void Ledger::intend(const RunRecord& run, Done durable) {
    const bool urgent = static_cast<bool>(durable);
    enqueue({run, 0, std::move(durable), {}}, urgent);
}

void Ledger::report(const RunRecord& run, Done durable) { enqueue({run, microseconds(CLOCK_REALTIME), std::move(durable), {}}, true); }

void Ledger::sweep(const LedgerLimits& limits, Wanted wanted) {
    {
        const std::lock_guard lock(mutex_);
        sweep_ = Sweep{limits, std::move(wanted)};
    }
    changed_.notify_one();
}

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
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty() || sweep_; });
        if (queue_.empty() && stopping_) return;
        if (queue_.empty()) {
            const LedgerLimits limits = sweep_->limits;
            lock.unlock();
            auto swept = sweepSome(limits);
            lock.lock();
            if (swept) tellSwept(std::move(*swept));
            continue;
        }
        changed_.wait_for(lock, kGroup, [this] { return stopping_ || urgent_; });
        auto rows = std::exchange(queue_, {});
        urgent_ = false;
        lock.unlock();
        write(rows);
        lock.lock();
        for (auto& row : rows) {
            if (row.durable) done_.emplace_back([durable = std::move(row.durable), written = std::move(row.written)] { durable(written); });
        }
        if (!done_.empty()) ::eventfd_write(wake_.get(), 1);
        if (logPages_ < kCheckpointed) continue;
        lock.unlock();
        checkpoint();
        lock.lock();
    }
}

// When nobody waits for it, instead of within a COMMIT. What fails is tried again after the next one.
void Ledger::checkpoint() {
    ::sqlite3_wal_checkpoint_v2(writer_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    logPages_ = 0;
}

void Ledger::write(std::vector<Row>& rows) {
    const auto committed = commit(rows);
    for (auto& row : rows) {
        if (!committed) row.written = committed;
        if (!row.written && !row.durable)
            std::fprintf(stderr, SD_ERR "run %s is under way, but not in the ledger: %s\n", row.run.id.c_str(),
                         row.written.error().message.c_str());
    }
}

// One transaction and one fsync. A row that can't be written takes no other with it, unless SQLite gave up all of them.
Result<void> Ledger::commit(std::vector<Row>& rows) {
    sqlite3* database = writer_.get();
    if (auto begun = execute(database, "BEGIN IMMEDIATE", "begin"); !begun) return begun;
    for (auto& row : rows) {
        if (!upsert_) upsert_.emplace(database, kUpsertRun);
        bindRun(*upsert_, row.run, row.ended);
        upsert_->step();
        row.written = upsert_->outcome("ledger: write run " + row.run.id);
        upsert_->again();
        if (row.written) continue;
        upsert_.reset();
        if (::sqlite3_get_autocommit(database) != 0) return row.written;
    }
    auto committed = execute(database, "COMMIT", "commit");
    if (!committed) ::sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
    return committed;
}

// One batch, so that a report waits for one at most. Nothing: there is more to remove.
std::optional<Result<std::vector<RunId>>> Ledger::sweepSome(const LedgerLimits& limits) {
    const auto more = removeSome(limits);
    if (!more) return Result<std::vector<RunId>>(tl::unexpected(more.error()));
    if (*more) return std::nullopt;
    return wanted();
}

void Ledger::tellSwept(Result<std::vector<RunId>> ids) {
    const auto sweep = std::exchange(sweep_, std::nullopt);
    if (!sweep) return;
    done_.emplace_back([tell = sweep->wanted, ids = std::move(ids)] { tell(ids); });
    ::eventfd_write(wake_.get(), 1);
}

Result<bool> Ledger::removeSome(const LedgerLimits& limits) {
    std::uint64_t before = limits.endedBefore;
    {
        Statement surplus(writer_.get(), "SELECT ended FROM runs WHERE ended > 0 ORDER BY ended DESC LIMIT 1 OFFSET ?");
        surplus.bind(limits.rows);
        if (surplus.step()) before = std::max(before, surplus.number() + 1);
        if (auto read = surplus.outcome("ledger: sweep"); !read) return forward(std::move(read));
    }
    Statement remove(writer_.get(),
                     "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE ended > 0 AND ended < ? ORDER BY ended LIMIT ?)");
    remove.bind(before).bind(std::int64_t{kSwept});
    remove.step();
    if (auto removed = remove.outcome("ledger: sweep"); !removed) return forward(std::move(removed));
    return ::sqlite3_changes(writer_.get()) == kSwept;
}

Result<std::vector<RunId>> Ledger::wanted() const {
    Statement statement(writer_.get(),
                        "SELECT id FROM runs WHERE files_until > 0 AND files_until > ? UNION ALL SELECT id FROM runs WHERE ended = 0");
    statement.bind(microseconds(CLOCK_REALTIME));
    std::vector<RunId> ids;
    while (statement.step()) ids.push_back(statement.text());
    if (auto read = statement.outcome("ledger: sweep"); !read) return forward(std::move(read));
    return ids;
}

int Ledger::onCommitted(sd_event_source*, int fd, std::uint32_t, void* self) {
    auto& ledger = *static_cast<Ledger*>(self);
    eventfd_t count = 0;
    ::eventfd_read(fd, &count);
    std::vector<std::function<void()>> done;
    {
        const std::lock_guard lock(ledger.mutex_);
        done.swap(ledger.done_);
    }
    for (auto& tell : done) tell();
    return 0;
}

Result<std::vector<RunRecord>> Ledger::select(const std::string& condition, const std::vector<std::string>& texts,
                                              std::uint32_t limit) const {
    Statement statement(reader_.get(), kSelectRun + condition + " ORDER BY id DESC LIMIT " + std::to_string(limit));
    for (const auto& text : texts) statement.bind(text);
    std::vector<RunRecord> runs;
    while (statement.step()) runs.push_back(readRun(statement));
    if (auto read = statement.outcome("ledger: read"); !read) return forward(std::move(read));
    return runs;
}

Result<std::vector<RunRecord>> Ledger::query(const RunFilter& filter) const {
    std::string condition = "WHERE started >= " + std::to_string(std::min<std::uint64_t>(filter.since, INT64_MAX));
    if (filter.until < INT64_MAX) condition += " AND started <= " + std::to_string(filter.until);
    // What the indices are made for.
    if (!filter.trigger.empty() && filter.trigger != name(Trigger::OnDemand)) condition += " AND started_by != 'on-demand'";
    if (!filter.batch.empty()) condition += " AND batch != ''";
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
    equal("started_by = ?", filter.trigger);
    equal("batch = ?", filter.batch);
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
