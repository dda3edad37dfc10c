// SPDX-License-Identifier: Apache-2.0
// bench_rows FILE COUNT: a ledger as it is after so many runs, the oldest two months ago: what a node that has been lived in starts
// with. By the ledger's own room, while no recapd has the file.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "daemon/core/ulid.hpp"
#include "daemon/engine/ledger.hpp"
#include "daemon/engine/ledger_rows.hpp"

namespace recap::bench {
namespace {

constexpr std::uint64_t kSpanUsec = 60ull * 24 * 3600 * 1'000'000;

void sure(const Result<void>& result) {
    if (!result) throw std::runtime_error(result.error().message);
}

// The tables, as the ledger makes them.
void makeTables(const std::string& path) {
    sd_event* loop = nullptr;
    if (sd_event_new(&loop) < 0) throw std::runtime_error("event loop");
    const EventLoop owner(loop);
    if (const auto ledger = Ledger::open(loop, path); !ledger) throw std::runtime_error(ledger.error().message);
}

RunRecord runOf(std::uint64_t number, std::uint64_t started, UlidSource& ids) {
    RunRecord run;
    run.id = ids.next(started / 1000);
    run.started = started;
    run.state = RunState::Finished;
    run.target = "docker:" + std::string(60, 'a') + std::to_string(1000 + number % 200);
    run.request.capsule = "bench-" + std::to_string(number % 1000);
    run.request.args = {"--interface", "any"};
    constexpr Trigger kTriggers[] = {Trigger::OnDemand, Trigger::Event, Trigger::Periodic};
    run.request.trigger = kTriggers[number % 3];
    if (run.request.trigger == Trigger::Event) {
        const Occurrence occurrence{"target-start", started, std::to_string(number), {}};
        run.request.occurrence = std::make_shared<const Occurrence>(occurrence);
    }
    if (run.request.trigger != Trigger::OnDemand) run.request.batch = ids.next(started / 1000);
    run.phases = {1000, 1200, 1900, 2500, 4000, 5200};
    run.report.id = run.id;
    run.report.outcome = number % 10 == 0 ? Outcome::Failed : Outcome::Succeeded;
    run.report.exitCode = number % 10 == 0 ? 1 : 0;
    run.report.phases = run.phases;
    return run;
}

void fill(const std::string& path, std::uint64_t count) {
    makeTables(path);
    sqlite3* database = nullptr;
    const int opened = ::sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE, nullptr);
    const std::unique_ptr<sqlite3, int (*)(sqlite3*)> owner(database, ::sqlite3_close);
    if (opened != SQLITE_OK) throw std::runtime_error("open " + path);
    UlidSource ids;
    const std::uint64_t begin = microseconds(CLOCK_REALTIME) - kSpanUsec;
    ::sqlite3_exec(database, "BEGIN", nullptr, nullptr, nullptr);
    Statement upsert(database, kUpsertRun);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t started = begin + kSpanUsec / (count + 1) * i;
        bindRun(upsert, runOf(i, started, ids), started + 5200);
        upsert.step();
        sure(upsert.outcome("write a row"));
        upsert.again();
    }
    if (::sqlite3_exec(database, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK) throw std::runtime_error("commit " + path);
}

}  // namespace
}  // namespace recap::bench

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: bench_rows FILE COUNT\n", stderr);
        return 2;
    }
    try {
        recap::bench::fill(argv[1], std::strtoull(argv[2], nullptr, 10));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_rows: %s\n", error.what());
        return 1;
    }
    return 0;
}
