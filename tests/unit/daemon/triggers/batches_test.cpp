// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/batches.hpp"

#include <gmock/gmock.h>

#include "tests/unit/daemon/triggers/fakes.hpp"

namespace recap::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

struct Heard : BatchListener {
    std::vector<BatchId> startedIds, changedIds, finishedIds, expiredIds;
    void batchStarted(const BatchId& id) override { startedIds.push_back(id); }
    void batchChanged(const BatchId& id) override { changedIds.push_back(id); }
    void batchFinished(const BatchId& id) override { finishedIds.push_back(id); }
    void batchExpired(const BatchId& id) override { expiredIds.push_back(id); }
    std::vector<std::string> rows;
    void batchRowFinished(const BatchId&, const BatchRow& row) override {
        rows.push_back(row.target.text() + " " + row.run + " " + row.escape);
    }
};

struct BatchesTest : World {
    Heard heard;
    std::unique_ptr<Batches> batches;

    void SetUp() override {
        capsules.add("scan");
        have(5);
        open({});
    }
    void open(const BatchLimits& limits) {
        runs.listeners.clear();
        batches = Batches::create({loop.get(), runs, targets, capsules, limits}).value();
        runs.listeners.push_back(batches.get());
        batches->listen(heard);
    }
    BatchRequest request(const std::string& labels = "", std::uint32_t parallel = 8) {
        BatchRequest made;
        made.run.capsule = "scan";
        made.run.caller = {1000, ":1.5"};
        made.selection.labels = parseLabels(labels).value();
        made.selection.parallel = parallel;
        return made;
    }
    BatchRequest roots(const std::string& labels = "", std::uint32_t parallel = 8) {
        BatchRequest made = request(labels, parallel);
        made.run.caller.uid = 0;
        return made;
    }
    BatchRequest periodic() {
        BatchRequest made = request();
        made.run.trigger = Trigger::Periodic;
        return made;
    }
    BatchId started(BatchRequest made) {
        const BatchId id = batches->start(std::move(made)).value();
        turn(loop);
        return id;
    }
    const BatchRecord& of(const BatchId& id) { return *batches->findBatch(id); }
    std::map<std::string, std::uint32_t> countsOf(const BatchId& id) { return counts(of(id)); }
    void endAll() {
        for (std::size_t i = 0; i < runs.order.size(); ++i) {
            if (runs.runs.at(runs.order[i]).state != RunState::Finished) runs.end(runs.order[i]);
            turn(loop);
        }
    }
};

TEST_F(BatchesTest, OneRunForEachThatMatchesAndNoMoreAtATimeThanSaid) {
    const BatchId id = batches->start(request("n!=3", 2)).value();
    EXPECT_THAT(runs.order, IsEmpty()) << "the id comes before any work";
    EXPECT_THAT(heard.startedIds, Contains(id));
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(2));
    EXPECT_THAT(countsOf(id), UnorderedElementsAre(Pair("pending", 4)));
    runs.end(runs.order[0], Outcome::Failed, 3);
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(3));
    endAll();
    EXPECT_THAT(runs.order, SizeIs(4));
    EXPECT_EQ(of(id).state, BatchState::Finished);
    EXPECT_THAT(countsOf(id), UnorderedElementsAre(Pair("finished", 4), Pair("failed", 1), Pair("succeeded", 3)));
    EXPECT_THAT(heard.finishedIds, UnorderedElementsAre(id));
    std::set<std::string> ran;
    for (const auto& run : runs.order) {
        ran.insert(runs.runs.at(run).target);
        EXPECT_EQ(runs.runs.at(run).request.batch, id);
    }
    EXPECT_EQ(ran, (std::set<std::string>{"docker:c0", "docker:c1", "docker:c2", "docker:c4"}));
    EXPECT_EQ(of(id).rows[0].exitCode, 3);
}

TEST_F(BatchesTest, WhatMatchesNothingIsFinishedWithNoRows) {
    const BatchId id = started(request("n=9"));
    EXPECT_EQ(of(id).state, BatchState::Finished);
    EXPECT_THAT(of(id).rows, IsEmpty());
    EXPECT_THAT(heard.finishedIds, UnorderedElementsAre(id));
}

TEST_F(BatchesTest, TheCapsulesOwnSelectionNarrowsWhatIsAsked) {
    auto& own = capsules.add("scan").selection;
    own.labels = parseLabels("n in (1,2,3)").value();
    own.mode = SelectionMode::Fixed;
    own.modeValue = 2;
    own.parallel = 1;
    own.backends = {"docker", "podman"};
    EXPECT_THAT(of(started(request())).rows, SizeIs(2));
    EXPECT_THAT(runs.order, SizeIs(1)) << "its parallel";
    EXPECT_THAT(of(started(request("n=2"))).rows, SizeIs(1));
    BatchRequest other = request();
    other.selection.backends = {"containerd"};
    const auto refused = batches->start(other);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("target.backends"));
}

TEST_F(BatchesTest, WhatRecapdHasNoRoomForIsSubmittedWhenARunEnds) {
    runs.room = 2;
    const BatchId id = started(request());
    EXPECT_THAT(runs.order, SizeIs(2));
    runs.end(runs.order[0]);
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(3));
    endAll();
    EXPECT_THAT(countsOf(id), UnorderedElementsAre(Pair("finished", 5), Pair("succeeded", 5)));
}

TEST_F(BatchesTest, EachTargetHasItsOwnAnswer) {
    runs.room = 1;
    BatchRequest made = request();
    made.targets.emplace();
    const auto chosen = batches->choose("scan", made.selection, {});
    for (const Target* target : *chosen) {
        BatchTarget asked{target->id, target->name, Authorisation{.backend = "docker", .digest = target->id.id}};
        if (target->id.id == "c2") asked.allowed = fail(Errc::AccessDenied, "not there");
        made.targets->push_back(std::move(asked));
    }
    const BatchId id = started(made);
    endAll();
    EXPECT_THAT(countsOf(id), UnorderedElementsAre(Pair("finished", 5), Pair("denied", 1), Pair("succeeded", 4)));
    for (const auto& run : runs.order) {
        const auto& request = runs.runs.at(run).request;
        EXPECT_EQ("docker:" + request.authorised->digest, request.target) << "however long it waited for room";
    }
    for (const auto& row : of(id).rows) EXPECT_EQ(row.detail, row.target.id == "c2" ? "not there" : "");
}

TEST_F(BatchesTest, WhatVanishedIsToldFromWhatCannotBeRunOnAndStopsNobodyElse) {
    runs.unfit = {"docker:c2", "docker:c3"};
    const BatchId id = batches->start(request()).value();
    targets.removed({"docker", "c2"});
    turn(loop);
    endAll();
    EXPECT_THAT(countsOf(id),
                UnorderedElementsAre(Pair("finished", 5), Pair("succeeded", 3), Pair("target-gone", 1), Pair("not-started", 1)));
    std::map<std::string, std::string> details;
    for (const auto& row : of(id).rows) details[row.target.text()] = row.detail;
    EXPECT_EQ(details["docker:c2"], "target 'docker:c2' is gone");
    EXPECT_EQ(details["docker:c3"], "it has no root");
}

TEST_F(BatchesTest, EachTargetIsInTheLedgerBeforeTheFirstRunAndEndsThereOnce) {
    BatchRequest made = request("", 2);
    made.targets.emplace();
    const auto chosen = batches->choose("scan", made.selection, {});
    for (const Target* target : *chosen) made.targets->push_back({target->id, target->name, std::optional<Authorisation>()});
    made.targets->at(1).allowed = fail(Errc::AccessDenied, "not there");
    const BatchId id = batches->start(made).value();
    EXPECT_THAT(runs.expected, SizeIs(5));
    EXPECT_THAT(runs.order, IsEmpty());
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(2));
    EXPECT_THAT(runs.expected, SizeIs(2));
    batches->stopBatch(id, std::chrono::seconds(1), [](const Result<void>&) {});
    endAll();
    turn(loop);
    EXPECT_THAT(runs.expected, IsEmpty());
    EXPECT_THAT(runs.runs, SizeIs(5)) << "one row each, whatever became of it";
    EXPECT_EQ(runs.runs.at(of(id).rows[1].run).report.outcome, Outcome::Denied);
    EXPECT_EQ(runs.runs.at(of(id).rows[4].run).report.outcome, Outcome::Skipped);
    for (const auto& row : of(id).rows) EXPECT_EQ(runs.runs.at(row.run).target, row.target.text());
}

TEST_F(BatchesTest, ABatchBeginsWhenItsRowsAreDurable) {
    runs.diskIsSlow = true;
    const BatchId asked = started(request("n=1"));
    const BatchId due = started(periodic());
    EXPECT_THAT(runs.order, IsEmpty());
    ASSERT_THAT(runs.notDurable, SizeIs(2));
    runs.notDurable[0]({});
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(1));
    runs.notDurable[1]({});
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(5)) << "and the one that is under way is skipped there";
    EXPECT_EQ(countsOf(due)["pending"], 4u);
    EXPECT_EQ(countsOf(asked)["pending"], 1u);
}

TEST_F(BatchesTest, WhoMayNotReachATargetDoesNotCountItEither) {
    Selection half;
    half.mode = SelectionMode::Percent;
    half.modeValue = 50;
    const auto chosen = batches->choose("scan", half, [](const Target& target) { return target.id.id != "c0" && target.id.id != "c1"; });
    ASSERT_TRUE(chosen);
    EXPECT_THAT(*chosen, SizeIs(2)) << "of three";
    for (const Target* target : *chosen) EXPECT_GE(target->id.id, "c2");
}

TEST_F(BatchesTest, EachRowsEndIsToldOnce) {
    const BatchId id = started(request("", 2));
    endAll();
    std::vector<std::string> expected;
    for (const auto& row : of(id).rows) expected.push_back(row.target.text() + " " + row.run + " clean");
    EXPECT_THAT(heard.rows, ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(BatchesTest, ABatchIsStoppedAsOne) {
    const BatchId id = started(request("", 2));
    bool answered = false;
    batches->stopBatch(id, std::chrono::seconds(1), [&](const Result<void>& stopped) { answered = stopped.has_value(); });
    EXPECT_TRUE(answered);
    EXPECT_THAT(runs.stopped, SizeIs(2));
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(2));
    for (const auto& run : runs.stopped) runs.end(run, Outcome::Killed);
    turn(loop);
    EXPECT_THAT(countsOf(id), UnorderedElementsAre(Pair("finished", 5), Pair("killed", 2), Pair("skipped", 3)));
    EXPECT_EQ(of(id).state, BatchState::Finished);
    Errc code = Errc::None;
    batches->stopBatch("nobody", std::chrono::seconds(1), [&](const Result<void>& stopped) { code = stopped.error().code; });
    EXPECT_EQ(code, Errc::NotFound);
}

TEST_F(BatchesTest, OneThatIsBoundToItsCallerEndsWithIt) {
    BatchRequest bound = request("", 1);
    bound.run.lifetime = Lifetime::Caller;
    const BatchId theirs = started(bound), detached = started(request("", 1));
    batches->batchCallerGone(":1.5");
    turn(loop);
    EXPECT_EQ(countsOf(theirs)["skipped"], 4u);
    EXPECT_EQ(countsOf(detached)["skipped"], 0u);
}

TEST_F(BatchesTest, WhatIsDueWhileTheOneBeforeRunsIsSkippedAndHasARow) {
    const BatchId first = started(periodic());
    const BatchId second = started(periodic());
    EXPECT_THAT(runs.order, SizeIs(5));
    EXPECT_THAT(countsOf(second), UnorderedElementsAre(Pair("finished", 5), Pair("skipped", 5)));
    ASSERT_THAT(runs.skipped, SizeIs(5));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("run run-"));
    EXPECT_EQ(of(second).rows[0].run, runs.skipped[0].first);
    EXPECT_THAT(countsOf(started(request())), UnorderedElementsAre(Pair("pending", 5))) << "who asks is not refused for it";
    EXPECT_EQ(of(first).state, BatchState::Running);
}

TEST_F(BatchesTest, WhatQueuesBeginsWhenTheOneBeforeHasEnded) {
    capsules.add("scan").schedule.overlap = Overlap::Queue;
    started(periodic());
    const BatchId second = started(periodic()), third = started(periodic());
    EXPECT_THAT(runs.order, SizeIs(5));
    EXPECT_THAT(countsOf(third)["skipped"], 5u);
    const RunId first = runs.order[0];
    runs.end(first);
    turn(loop);
    ASSERT_THAT(runs.order, SizeIs(6));
    EXPECT_EQ(runs.runs.at(runs.order[5]).target, runs.runs.at(first).target);
    EXPECT_EQ(runs.runs.at(runs.order[5]).request.batch, second);
}

TEST_F(BatchesTest, WhatReplacesStopsTheOneBefore) {
    capsules.add("scan").schedule.overlap = Overlap::Replace;
    started(periodic());
    const BatchId second = started(periodic());
    EXPECT_THAT(runs.stopped, SizeIs(5));
    EXPECT_THAT(runs.order, SizeIs(5)) << "not before it has ended";
    for (const auto& run : runs.stopped) runs.end(run, Outcome::Killed);
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(10));
    endAll();
    EXPECT_THAT(countsOf(second), UnorderedElementsAre(Pair("finished", 5), Pair("succeeded", 5)));
}

TEST_F(BatchesTest, WhatReplacesStopsNobodysOwnRunAndAllOthers) {
    capsules.add("scan").schedule.overlap = Overlap::Allow;
    BatchRequest one = periodic();
    one.selection.labels = parseLabels("n=1").value();
    started(one);
    started(one);
    const BatchId asked = started(request("n=1"));
    ASSERT_THAT(runs.order, SizeIs(3));
    capsules.add("scan").schedule.overlap = Overlap::Replace;
    const BatchId last = started(one);
    EXPECT_THAT(runs.stopped, UnorderedElementsAre(runs.order[0], runs.order[1]));
    for (const auto& run : runs.stopped) runs.end(run, Outcome::Killed);
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(3)) << "somebody's own goes on there";
    EXPECT_THAT(countsOf(last), UnorderedElementsAre(Pair("pending", 1)));
    runs.end(runs.order[2]);
    turn(loop);
    EXPECT_THAT(runs.order, SizeIs(4));
    EXPECT_THAT(countsOf(asked), UnorderedElementsAre(Pair("finished", 1), Pair("succeeded", 1)));
}

TEST_F(BatchesTest, WhoWaitsIsStoppedWithItsBatch) {
    capsules.add("scan").schedule.overlap = Overlap::Queue;
    started(periodic());
    const BatchId second = started(periodic());
    batches->stopBatch(second, std::chrono::seconds(0), [](const Result<void>&) {});
    turn(loop);
    EXPECT_EQ(countsOf(second)["skipped"], 5u);
    endAll();
    EXPECT_THAT(runs.order, SizeIs(5));
}

TEST_F(BatchesTest, WhatNobodyAskedForAndHasNothingToRunOnHasARow) {
    processes.emplace_back();
    Target paused;
    paused.id = {"docker", "still"};
    paused.pid = processes.back().pid();
    paused.state = TargetState::Paused;
    targets.added(paused);
    BatchRequest made = request();
    made.run.trigger = Trigger::Event;
    made.run.occurrence = std::make_shared<const Occurrence>(Occurrence{"target-start", 1, "7", {}});
    made.selection.targets = {paused.id};
    const BatchId none = started(made);
    EXPECT_EQ(of(none).state, BatchState::Finished);
    BatchRequest due = periodic();
    due.selection.labels = parseLabels("n=9").value();
    started(due);
    ASSERT_THAT(runs.skipped, SizeIs(2));
    const auto& row = runs.runs.at(runs.skipped[0].first).request;
    EXPECT_EQ(row.target, "docker:still");
    EXPECT_EQ(row.batch, none);
    EXPECT_EQ(row.occurrence->cause, "7");
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("'docker:still' is paused"));
    EXPECT_THAT(runs.skipped[1].second, HasSubstr("no target that runs"));
    started(request("n=9"));
    EXPECT_THAT(runs.skipped, SizeIs(2)) << "who asks is told";
}

TEST_F(BatchesTest, MoreThanAreTakenAreRefusedByNumber) {
    open({.running = 2, .rows = 8});
    started(roots("", 1));
    const auto rows = batches->start(roots());
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().code, Errc::LimitExceeded);
    EXPECT_THAT(rows.error().message, HasSubstr("at most 8"));
    started(roots("n=1"));
    EXPECT_THAT(batches->start(roots("n=1")).error().message, HasSubstr("2 batches are under way"));
}

TEST_F(BatchesTest, OneUserHasAQuarterOfThem) {
    open({.running = 8});
    started(request("", 1));
    started(request("", 1));
    const auto third = batches->start(request());
    ASSERT_FALSE(third);
    EXPECT_THAT(third.error().message, HasSubstr("uid 1000 has 2 batches"));
    BatchRequest another = request();
    another.run.caller.uid = 1001;
    EXPECT_TRUE(batches->start(another));
}

TEST_F(BatchesTest, OneUserHasAQuarterOfTheirTargetsToo) {
    open({.rows = 12});
    started(request("n in (1,2)"));
    const auto second = batches->start(request("n in (1,2)"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::LimitExceeded);
    EXPECT_THAT(second.error().message, HasSubstr("2 targets beside 2 of uid 1000's batches under way; one user may have at most 3"));
    BatchRequest another = request("n in (1,2,3)");
    another.run.caller.uid = 1001;
    EXPECT_TRUE(batches->start(another));
    EXPECT_TRUE(batches->start(roots())) << "root has all that is left";
    endAll();
    EXPECT_TRUE(batches->start(request("n in (1,2)"))) << "there is room again";
}

TEST_F(BatchesTest, WhatNobodyAskedForKeepsNobodyFromAsking) {
    open({.running = 4, .unasked = 8});
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(batches->start(periodic())) << "of one user, and more than people may have";
    const auto more = batches->start(periodic());
    ASSERT_FALSE(more);
    EXPECT_THAT(more.error().message, HasSubstr("8 batches that events and timers started"));
    const BatchId asked = started(request("n=1"));
    endAll();
    EXPECT_EQ(of(asked).state, BatchState::Finished);
    EXPECT_TRUE(batches->start(periodic())) << "there is room again";
}

TEST_F(BatchesTest, EndedOnesGoInTheirOrder) {
    open({.ended = 1});
    const BatchId first = started(request("n=9")), second = started(request("n=8"));
    EXPECT_EQ(batches->findBatch(first), nullptr);
    EXPECT_NE(batches->findBatch(second), nullptr);
    EXPECT_THAT(heard.expiredIds, UnorderedElementsAre(first));
}

TEST_F(BatchesTest, WhatNobodyAskedForPushesOutNothingThatSomebodyDid) {
    open({.rows = 6, .ended = 2});
    const BatchId asked = started(roots());
    endAll();
    std::vector<BatchId> unasked;
    for (int i = 0; i < 4; ++i) {
        BatchRequest made = periodic();
        made.selection.labels = parseLabels("n=1").value();
        unasked.push_back(started(made));
        endAll();
    }
    EXPECT_THAT(heard.expiredIds, ElementsAre(unasked[0], unasked[1]));
    EXPECT_EQ(of(asked).rows.size(), 5u) << "its results are there for their ten minutes";
    EXPECT_TRUE(batches->start(roots("n=1"))) << "nor do their rows take its room";
    EXPECT_FALSE(batches->start(periodic()).value().empty());
    EXPECT_EQ(of(asked).rows.size(), 5u) << "nor does what they need";
}

TEST_F(BatchesTest, WhatHasEndedMakesRoomForWhatBeginsTheOldestFirst) {
    open({.rows = 8});
    const BatchId oldest = started(roots("n=1")), older = started(roots("n in (1,2,3)"));
    endAll();
    const BatchId underWay = started(roots("n in (1,2,3)"));
    EXPECT_THAT(heard.expiredIds, IsEmpty()) << "there is room";
    EXPECT_TRUE(batches->start(roots("n in (1,2)")));
    EXPECT_THAT(heard.expiredIds, ElementsAre(oldest)) << "and no more than it takes";
    const auto refused = batches->start(roots());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("5 targets beside 5 of batches under way; recapd takes at most 8"));
    EXPECT_NE(batches->findBatch(older), nullptr) << "it would not have helped";
    endAll();
    EXPECT_TRUE(batches->start(roots()));
    EXPECT_THAT(heard.expiredIds, ElementsAre(oldest, older, underWay));
}

TEST_F(BatchesTest, CountsAreToldOnceATurn) {
    started(request());
    EXPECT_THAT(heard.changedIds, SizeIs(1)) << "for five that were submitted";
    for (const auto& run : runs.order) batches->changed(run, Phases{.executing = 5});
    turn(loop);
    EXPECT_THAT(heard.changedIds, SizeIs(2));
}

TEST_F(BatchesTest, ACapsuleThatIsNotThereIsRefused) {
    BatchRequest made = request();
    made.run.capsule = "nobody";
    EXPECT_EQ(batches->start(made).error().code, Errc::NotFound);
}

}  // namespace
}  // namespace recap::test
