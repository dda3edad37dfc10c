// SPDX-License-Identifier: Apache-2.0
// What one recapd leaves to the next, and what that makes of it.
#include "tests/unit/daemon/triggers/events_fixture.hpp"

namespace recap::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST_F(EventsTest, WhatStartedWhileRecapdWasAwayIsMadeUpForOnce) {
    armed("scan", {.on = "target-start"});
    have(2);
    RunRequest request;  // the one that the recapd of before acted on
    request.capsule = "scan";
    request.target = "docker:c0";
    request.occurrence = std::make_shared<const Occurrence>(startOf("docker:c0"));
    runs.listed.emplace_back().request = request;
    runs.listed.back().started = microseconds(CLOCK_REALTIME);
    open();
    events->begin();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c1"}));
    EXPECT_EQ(shots[0].occurrence.cause, startOf("docker:c1").cause);
}

// A host without a clock of its own sets it once it hears of the time.
TEST_F(EventsTest, WhatWasActedOnBeforeTheClockWasSetIsSo) {
    armed("scan", {.on = "target-start"});
    armed("note", {.on = "target-stop"});
    have(1);
    const auto acted = [this](const std::string& capsule, Occurrence occurrence) {
        RunRecord& row = runs.listed.emplace_back();
        row.request.capsule = capsule;
        row.request.occurrence = std::make_shared<const Occurrence>(std::move(occurrence));
        row.started = 60'000'000;
    };
    acted("scan", startOf("docker:c0"));
    acted("note", {"target-stop", 1, "boot docker:gone 1", {}});
    since = 120'000'000;
    kept = "recap-targets 1 boot\n" + std::to_string(::getpid()) + "\t1\tdocker\tgone\tweb\tnote\t0\n";
    open();
    events->begin();
    EXPECT_THAT(shots, IsEmpty());
    EXPECT_THAT(runs.skipped, IsEmpty());
}

TEST_F(EventsTest, TheSameProcessOfAnotherBootIsAnother) {
    armed("scan", {.on = "target-start"});
    armed("note", {.on = "target-stop"});
    have(1);
    RunRecord& row = runs.listed.emplace_back();
    row.request.capsule = "scan";
    Occurrence before = startOf("docker:c0");
    before.cause.replace(0, 4, "another");
    row.request.occurrence = std::make_shared<const Occurrence>(before);
    row.started = microseconds(CLOCK_REALTIME);
    RunRecord& stop = runs.listed.emplace_back(row);
    stop.request.capsule = "note";
    stop.request.occurrence = std::make_shared<const Occurrence>(Occurrence{"target-stop", 1, "another docker:gone 1", {}});
    kept = "recap-targets 1 boot\n" + std::to_string(::getpid()) + "\t1\tdocker\tgone\tweb\tnote\t0\n";
    open();
    events->begin();
    EXPECT_THAT(shots, SizeIs(2));
}

// As the target before, where the backend is later than recapd.
TEST_F(EventsTest, AndSoIsWhatItsBackendTellsOfLater) {
    armed("scan", {.on = "target-start"});
    Sleeper acted, missed;
    const auto target = [](const std::string& id, const Sleeper& process) {
        Target made;
        made.id = {"docker", id};
        made.pid = process.pid();
        return made;
    };
    const std::uint64_t startTime = pinProcess(missed.pid()).value().startTime;
    untilTicksPass(startTime);
    RunRequest request;
    request.capsule = "scan";
    request.occurrence = std::make_shared<const Occurrence>(Occurrence{
        "target-start", 1, "boot " + std::to_string(acted.pid()) + " " + std::to_string(pinProcess(acted.pid()).value().startTime), {}});
    runs.listed.emplace_back().request = request;
    runs.listed.back().started = microseconds(CLOCK_REALTIME);
    open();
    events->begin();
    targets.state({"docker", "docker", BackendState::Ready, "", 0});
    targets.snapshot("docker", {target("acted", acted), target("missed", missed)});
    events->makeUp();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "missed"}));
    EXPECT_EQ(runs.asked, 2);
    add("9");
    EXPECT_THAT(shots, SizeIs(2));
    EXPECT_EQ(runs.asked, 2) << "what starts from now on is new";
}

// The ledger's rows are swept one day.
TEST_F(EventsTest, WhatTheRecapdOfBeforeKnewIsNotAskedAboutForEver) {
    armed("scan", {.on = "target-start"}, "n in (0,1)");
    open();
    have(1);
    events->begin();
    events->keepKnown();
    EXPECT_EQ(kept, "recap-targets 1 boot\n") << "its row may not be on the disk";
    events->keepKnown();
    const Target& target = *targets.resolve("docker:c0").value();
    EXPECT_EQ(kept, "recap-targets 1 boot\n" + std::to_string(target.pid) + "\t" + std::to_string(target.startTime) + "\tdocker\tc0\n");
    add("1");
    shots.clear();
    runs.asked = 0;
    const auto before = std::move(events);
    open();
    events->begin();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c1"}));
    EXPECT_EQ(runs.asked, 1) << "of the one that it may not have come to";
}

TEST_F(EventsTest, WhatIsStillToBeMadeUpForIsKnownToNobody) {
    limits = {.refillUsec = 50'000, .burst = 2};
    armed("scan", {.on = "target-start"});
    have(3);
    open();
    events->begin();
    for (int i = 0; i < 2; ++i) events->keepKnown();
    EXPECT_THAT(shots, SizeIs(1));
    EXPECT_EQ(kept, "recap-targets 1 boot\n");
    for (int i = 0; i < 4; ++i) {
        now += 50'000;
        events->makeUp();
    }
    for (int i = 0; i < 2; ++i) events->keepKnown();
    EXPECT_THAT(shots, SizeIs(3));
    EXPECT_EQ(std::ranges::count(*kept, '\n'), 4);
}

TEST_F(EventsTest, TheLedgerIsAskedALittleInATurn) {
    for (int i = 0; i < 50; ++i) armed("scan-" + std::to_string(i), {.on = "target-start"}).schedule.missed = Missed::Skip;
    std::vector<Target> late;
    for (int i = 0; i < 4; ++i) {
        Target& target = late.emplace_back();
        target.id = {"docker", "c" + std::to_string(i)};
        target.pid = processes.emplace_back().pid();
    }
    untilTicksPass(pinProcess(late.back().pid).value().startTime);
    open();
    events->begin();
    targets.state({"docker", "docker", BackendState::Ready, "", 0});
    targets.snapshot("docker", late);
    EXPECT_EQ(runs.asked, 0) << "a backend that comes with many keeps nobody waiting";
    events->makeUp();
    EXPECT_EQ(runs.asked, 100);
    events->makeUp();
    EXPECT_EQ(runs.asked, 200);
    EXPECT_THAT(runs.skipped, SizeIs(200));
}

TEST_F(EventsTest, WhatIsMadeUpForTakesItsTimeAndLosesNothing) {
    limits = {.refillUsec = 50'000, .burst = 4};
    armed("scan", {.on = "target-start"});
    have(10);
    open();
    events->begin();
    EXPECT_THAT(shots, SizeIs(2)) << "the other half is for what happens now";
    for (int i = 0; i < 8; ++i) {
        now += 50'000;
        events->makeUp();
    }
    EXPECT_THAT(shots, SizeIs(10));
    EXPECT_THAT(runs.skipped, IsEmpty());
}

TEST_F(EventsTest, AChainThatTheRecapdOfBeforeDidNotComeToIsMadeUpFor) {
    armed("archive", {.on = "run-finished", .capsule = "scan", .outcome = "failed"});
    have(1);
    const std::uint64_t hour = 3'600'000'000, then = microseconds(CLOCK_REALTIME) - hour;
    runs.last = then;  // however long ago that recapd was there
    const auto ended = [&](const RunId& id, std::uint64_t when, Outcome outcome) {
        RunRecord& run = runs.listed.emplace_back();
        run.id = id;
        run.request.capsule = "scan";
        run.state = RunState::Finished;
        run.target = "docker:c0";
        run.started = when;
        run.report.outcome = outcome;
    };
    ended("old", then - hour, Outcome::Failed);
    ended("good", then, Outcome::Succeeded);
    ended("acted", then, Outcome::Failed);
    ended("missed", then - 60'000'000, Outcome::Failed);
    RunRecord& chained = runs.listed.emplace_back();
    chained.request.capsule = "archive";
    chained.request.occurrence = std::make_shared<const Occurrence>(Occurrence{"run-finished", 1, "acted", {}});
    open();
    events->begin();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].occurrence.cause, "missed");
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c0"}));
}

TEST_F(EventsTest, OrToldAsMissed) {
    armed("scan", {.on = "target-start"}).schedule.missed = Missed::Skip;
    have(1);
    open();
    events->begin();
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("while recapd was away"));
    const auto& request = runs.runs.at(runs.skipped[0].first).request;
    EXPECT_EQ(request.target, "docker:c0");
    EXPECT_EQ(request.trigger, Trigger::Event);
}

TEST_F(EventsTest, WhoseEndIsWaitedForIsKnownToTheNextRecapd) {
    armed("note", {.on = "target-stop"}, "n=0");
    open();
    have(2);
    events->begin();
    events->keepKnown();
    const auto line = std::to_string(processes[0].pid()) + "\t" + std::to_string(targets.resolve("docker:c0").value()->startTime) +
                      "\tdocker\tc0\tname-0\tnote\t0\n";
    EXPECT_EQ(kept, "recap-targets 1 boot\n" + line);
    targets.removed({"docker", "c0"});
    events->keepKnown();
    EXPECT_EQ(kept, "recap-targets 1 boot\n" + line) << "as long as its process goes on";
    processes[0].end();
    while (shots.empty()) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    events->keepKnown();
    EXPECT_EQ(kept, "recap-targets 1 boot\n");
}

TEST_F(EventsTest, WhatStoppedWhileRecapdWasAwayIsMadeUpForAndWhatGoesOnIsWaitedFor) {
    armed("note", {.on = "target-stop"});
    armed("log", {.on = "target-stop"}).schedule.missed = Missed::Skip;
    Sleeper goesOn;
    const std::string start = std::to_string(pinProcess(goesOn.pid()).value().startTime);
    const std::string pid = std::to_string(goesOn.pid());
    kept = "recap-targets 1 boot\n" + pid + "\t1\tdocker\tgone\tweb\tlog\t0\tnote\t0\n" + pid + "\t" + start +
           "\tdocker\tthere\tdb\tnote\t0\n" + pid + "\t2\tdocker\tacted\tdb\tnote\t0\n";
    RunRequest request;
    request.capsule = "note";
    request.occurrence = std::make_shared<const Occurrence>(Occurrence{"target-stop", 1, "boot docker:acted 2", {}});
    runs.listed.emplace_back().request = request;
    runs.listed.back().started = 1;
    open();
    events->begin();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].capsule, "note");
    EXPECT_THAT(shots[0].occurrence.facts, UnorderedElementsAre(Pair("target", "docker:gone"), Pair("name", "web")));
    EXPECT_THAT(shots[0].on, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("it stopped while recapd was away"));
    goesOn.end();
    while (shots.size() < 2) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    EXPECT_THAT(shots[1].occurrence.facts, Contains(Pair("target", "docker:there")));
}

TEST_F(EventsTest, WhatEndedWithTheHostIsTold) {
    armed("note", {.on = "target-stop"});
    kept = "recap-targets 1 another\n" + std::to_string(::getpid()) + "\t1\tdocker\tgone\tweb\tnote\t0\n";
    open();
    events->begin();
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("ended with the host"));
    EXPECT_EQ(runs.runs.at(runs.skipped[0].first).request.target, "docker:gone");
}

TEST_F(EventsTest, ATargetThatDoesNotRunDoesNotStop) {
    armed("note", {.on = "target-stop"});
    open();
    have(0);
    events->begin();
    Target stopped;
    stopped.id = {"docker", "stopped"};
    stopped.state = TargetState::Stopped;
    targets.added(stopped);
    ASSERT_THAT(targets.list(), SizeIs(1));
    events->keepKnown();
    EXPECT_EQ(kept, "recap-targets 1 boot\n");
    targets.removed(stopped.id);
    kept = "recap-targets 1 boot\n0\t0\tdocker\tstopped\tweb\tnote\t0\n";
    const auto before = std::move(events);
    open();
    events->begin();
    EXPECT_THAT(shots, IsEmpty());
    EXPECT_THAT(runs.skipped, IsEmpty());
}

}  // namespace
}  // namespace recap::test
