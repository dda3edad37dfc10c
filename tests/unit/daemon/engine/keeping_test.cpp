// SPDX-License-Identifier: Apache-2.0
// What is kept, for how long, and what happens when it can't be.
#include <fcntl.h>
#include <sqlite3.h>

#include <fstream>
#include <map>

#include "fakes.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;

void execute(const Spine& spine, const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(::sqlite3_open((spine.folder.path() + "/ledger.db").c_str(), &database), SQLITE_OK);
    ::sqlite3_busy_timeout(database, 5000);
    EXPECT_EQ(::sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << ::sqlite3_errmsg(database);
    ::sqlite3_close(database);
}

std::string logOf(const Spine& spine, const RunId& id) { return spine.folder.path() + "/logs/" + id + ".log"; }

// With a log of some bytes in our folder.
RunId keptRun(Spine& spine, std::size_t bytes = 4) {
    const RunId id = spine.startedRun(memory(frame(1, std::string(bytes, 'x'))));
    auto ended = report(id);
    ended.logBytes = bytes;
    const auto before = spine.launcher.acks.size();
    spine.engine->ended(ended);
    turnUntil(spine.loop.get(), [&] { return spine.launcher.acks.size() > before; });
    return id;
}

void untilGone(const Spine& spine, const std::string& path) {
    while (fs::exists(path)) sd_event_run(spine.loop.get(), 1000);
}

TEST(Keeping, FilesGoWhenTheirTimeIsOverAndRowsStay) {
    Spine spine;
    spine.planner.keep = std::chrono::seconds(0);
    const RunId over = keptRun(spine);
    spine.planner.keep = std::chrono::hours(1);
    const RunId kept = keptRun(spine);
    const std::string foreign = logOf(spine, "01ARZ3NDEKTSV4RRFFQ69G5FAV"), part = foreign + ".part";
    for (const auto& path : {foreign, part}) std::ofstream(path) << "left by an earlier recapd";
    spine.limits.keptUsec = 0;  // nothing is an object again
    spine.restart();
    EXPECT_FALSE(fs::exists(part));
    ASSERT_TRUE(spine.engine->restore());
    untilGone(spine, logOf(spine, over));
    untilGone(spine, foreign);
    EXPECT_TRUE(fs::exists(logOf(spine, kept)));
    EXPECT_TRUE(spine.ledger->find(over).value());
}

TEST(Keeping, BeyondTheCapTheOldestFilesGo) {
    Spine spine;
    spine.most = 100 * 1024;
    spine.restart();
    const RunId first = keptRun(spine, 60 * 1024);
    const RunId second = keptRun(spine, 60 * 1024);
    untilGone(spine, logOf(spine, first));
    EXPECT_TRUE(fs::exists(logOf(spine, second)));
    EXPECT_EQ(spine.engine->output(second, Stream::Stdout, 0, 10).value().data.size(), 10u);
}

TEST(Keeping, RowsBeyondTheirNumberGoOldestFirst) {
    Spine spine;
    std::vector<RunId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(spine.refusedRun());
    spine.within({.keptUsec = 0, .rows = 2});
    ASSERT_TRUE(spine.engine->restore());
    while (spine.ledger->find(ids[1]).value()) sd_event_run(spine.loop.get(), 1000);
    EXPECT_FALSE(spine.ledger->find(ids[0]).value());
    EXPECT_TRUE(spine.ledger->find(ids[2]).value());
    EXPECT_TRUE(spine.ledger->find(ids[3]).value());
}

TEST(Keeping, ALedgerOfTheFirstVersionIsTakenOver) {
    Spine spine;
    const RunId id = keptRun(spine);
    spine.engine.reset();
    spine.ledger.reset();
    execute(spine,
            "DROP INDEX with_files; DROP INDEX by_capsule; DROP INDEX by_target; DROP INDEX by_outcome; DROP INDEX by_batch; DROP INDEX "
            "by_cause; DROP INDEX unasked; "
            "ALTER TABLE runs DROP COLUMN files_until; ALTER TABLE runs DROP COLUMN written; "
            "ALTER TABLE runs DROP COLUMN cpu_system_usec; ALTER TABLE runs DROP COLUMN untrusted; ALTER TABLE runs DROP COLUMN tenant; "
            "ALTER TABLE runs DROP COLUMN started_by; ALTER TABLE runs DROP COLUMN batch; ALTER TABLE runs DROP COLUMN event; "
            "ALTER TABLE runs DROP COLUMN cause; "
            "PRAGMA user_version = 1;");
    spine.within({.keptUsec = 0});
    EXPECT_GT(spine.ledger->find(id).value()->filesUntil, microseconds(CLOCK_REALTIME));
}

TEST(Keeping, AReportThatCouldNotBeWrittenIsToldOnceAndTriedAgain) {
    Spine spine;
    spine.within({.retryUsec = 1000});
    const RunId id = spine.startedRun();
    execute(spine, "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'disk full'); END;");
    spine.engine->ended(report(id, Outcome::Failed, 3));
    spine.untilReported();
    EXPECT_TRUE(spine.launcher.acks.empty()) << "the launcher's word is all there is";
    execute(spine, "DROP TRIGGER full;");
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    EXPECT_EQ(spine.ledger->find(id).value()->report.exitCode, 3);
    EXPECT_EQ(spine.notes.reports.size(), 1u);
}

TEST(Keeping, ARowThatCantBeWrittenTakesNoOtherWithIt) {
    Spine spine;
    execute(spine, "CREATE TRIGGER bad BEFORE INSERT ON runs WHEN NEW.capsule = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END;");
    std::map<std::string, bool> durable;
    std::vector<RunRecord> runs(3);
    for (std::size_t i = 0; i < 3; ++i) {
        runs[i].id = "01ARZ3NDEKTSV4RRFFQ69G5FA" + std::to_string(i);
        runs[i].request.capsule = i == 1 ? "bad" : "good";
        spine.ledger->report(runs[i], [&, id = runs[i].id](const Result<void>& written) { durable[id] = written.has_value(); });
    }
    turnUntil(spine.loop.get(), [&] { return durable.size() == 3; });
    EXPECT_TRUE(durable[runs[0].id]);
    EXPECT_FALSE(durable[runs[1].id]);
    EXPECT_TRUE(durable[runs[2].id]);
    EXPECT_TRUE(spine.ledger->find(runs[2].id).value());
}

TEST(Keeping, WhatCouldNotBeBroughtInIsTriedAgain) {
    Spine spine;
    spine.within({.retryUsec = 1000});
    const RunId id = spine.startedRun(memory(frame(1, "kept")));
    const std::string logs = spine.folder.path() + "/logs";
    fs::rename(logs, logs + ".away");
    std::ofstream(logs) << "in the way";
    auto ended = report(id);
    ended.logBytes = 4;
    spine.engine->ended(ended);
    Errc code = Errc::None;
    spine.engine->artifacts(id, [&](const Result<std::vector<Artifact>>& all) { code = all.error().code; });
    turnUntil(spine.loop.get(), [&] { return code != Errc::None; });
    EXPECT_TRUE(spine.launcher.acks.empty());
    fs::remove(logs);
    fs::rename(logs + ".away", logs);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    EXPECT_TRUE(fs::exists(logOf(spine, id)));
}

// Its log starts over: SQLite's own checkpoint is off, as it would come within a report's COMMIT.
TEST(Keeping, TheLedgersLogDoesNotGrowWithTheRuns) {
    Spine spine;
    for (std::size_t runs = 1; runs <= 150; ++runs) {
        const RunId id = spine.startedRun();
        spine.engine->ended(report(id));
        spine.untilReported(runs);
    }
    EXPECT_LT(fs::file_size(spine.folder.path() + "/ledger.db-wal"), 1u << 20);
}

TEST(Keeping, WhatEndedEarlyLeavesNoPartBehind) {
    Spine spine;
    const RunId id = spine.startedRun();
    auto ended = report(id);
    ended.hasArtifacts = true;
    spine.engine->ended(ended);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.collects.empty(); });
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    ::close(ends[1]);
    spine.launcher.collects.front()(UniqueFd(ends[0]));
    bool answered = false;
    spine.engine->artifacts(id, [&](const Result<std::vector<Artifact>>& all) { answered = !all; });
    turnUntil(spine.loop.get(), [&] { return answered; });
    EXPECT_TRUE(fs::is_empty(spine.folder.path() + "/artifacts"));
}

TEST(Keeping, AnAdoptedRunThatEndsBeforeItsLogIsHereKeepsIt) {
    Spine spine;
    const RunId id = spine.startedRun();
    spine.restart();
    spine.engine->connected();
    const LaunchedRun running{id, "tcpdump", "docker:web-id", false, report(id)};
    spine.launcher.lists.back()({{running}});
    auto ended = report(id);
    ended.logBytes = 4;
    spine.engine->ended(ended);
    spine.untilReported();
    for (auto& reply : std::exchange(spine.launcher.logs, {})) reply(memory(frame(1, "kept")));
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    EXPECT_EQ(spine.engine->output(id, Stream::Stdout, 0, 10).value().data.size(), 4u);
}

TEST(Keeping, ARunThatSeemedNotToHaveStartedIsStoppedWhenItDoes) {
    Spine spine;
    spine.haveTarget();
    const RunId id = spine.engine->submit(spine.request()).value();
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.starts.empty(); });
    spine.launcher.starts.back().second(fail(Errc::Unavailable, "no answer in time"));
    spine.untilReported();
    spine.engine->progressed(id, {0, 0, 30, 0, 0, 0});
    ASSERT_EQ(spine.launcher.stops.size(), 1u);
    EXPECT_EQ(spine.launcher.stops[0].first, id);
}

}  // namespace
}  // namespace recap::test
