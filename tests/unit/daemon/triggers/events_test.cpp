// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/daemon/triggers/events_fixture.hpp"

namespace recap::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

TEST_F(EventsTest, ATargetThatStartsIsOfThoseThatAreSelected) {
    armed("scan", {.on = "target-start"}, "n in (0,1)");
    open();
    events->begin();
    have(3);
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c0"}));
    EXPECT_THAT(shots[1].on, ElementsAre(TargetId{"docker", "c1"}));
    EXPECT_EQ(shots[0].occurrence.on, "target-start");
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("target", "docker:c0")));
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("name", "name-0")));
}

TEST_F(EventsTest, WhatWasThereBeforeTheCapsuleWasEnabledHasNotStarted) {
    armed("scan", {.on = "target-start"});
    open();
    have(2);
    since = microseconds(CLOCK_REALTIME) + 60'000'000;
    events->begin();
    add("2");
    EXPECT_THAT(shots, IsEmpty());
}

TEST_F(EventsTest, AStartIsAProcesssHoweverManyTellOfIt) {
    armed("scan", {.on = "target-start"});
    open();
    events->begin();
    targets.state({"containerd", "containerd", BackendState::Ready, "", 0});
    processes.emplace_back();
    Target target;
    target.id = {"containerd", "moby/a"};
    target.pid = processes.back().pid();
    targets.added(target);
    target.id = {"docker", "a"};
    targets.state({"docker", "docker", BackendState::Ready, "", 0});
    targets.added(target);
    EXPECT_THAT(shots, SizeIs(1));
}

// As the process backend does, which knows a pid before it knows whose container that is.
TEST_F(EventsTest, ATargetHasStartedThatIsKnownByItsLabelsALittleLater) {
    armed("scan", {.on = "target-start"}, "n=web");
    open();
    have(1);
    untilTicksPass(targets.resolve("docker:c0").value()->startTime);
    events->begin();
    add("1");
    EXPECT_THAT(shots, IsEmpty());
    relabel("0", "web");
    EXPECT_THAT(shots, IsEmpty()) << "it was there before";
    for (const char* label : {"web", "db", "web"}) relabel("1", label);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c1"}));
}

TEST_F(EventsTest, ATargetThatStopsIsSelectedByItsLastLabels) {
    armed("note", {.on = "target-stop"}, "n=web");
    open();
    events->begin();
    have(2);
    for (const char* number : {"0", "1"}) relabel(number, "web");
    relabel("1", "db");
    for (auto& process : processes) process.end();
    while (!targets.list().empty()) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("target", "docker:c0")));
}

TEST_F(EventsTest, AStartIsOneHoweverManyThereWereSince) {
    armed("scan", {.on = "target-start"}, "n=0");
    for (int i = 0; i < 300; ++i) armed("other-" + std::to_string(i), {.on = "target-start"}, "n!=0");
    open();
    events->begin();
    have(1);
    for (int i = 0; i < 2; ++i) events->keepKnown();
    for (int i = 1; i < 70; ++i) add(std::to_string(i));  // more than are remembered one by one
    const Target first = *targets.resolve("docker:c0").value();
    targets.removed(first.id);
    const auto ofScan = [this] { return std::ranges::count(shots, "scan", &Shot::capsule); };
    ASSERT_EQ(ofScan(), 1);
    now += 60'000'000;  // there is room for more
    Target again;
    again.id = first.id;
    again.labels = first.labels;
    again.pid = first.pid;
    targets.added(again);
    ASSERT_TRUE(targets.resolve("docker:c0"));
    EXPECT_EQ(ofScan(), 1);
}

TEST_F(EventsTest, ATargetThatStopsStartsRunsOnThoseThatAreLeft) {
    armed("note", {.on = "target-stop"}, "n=1");
    open();
    have(3);
    events->begin();
    const std::size_t before = targets.list().size();
    processes[1].end();
    processes[2].end();
    while (targets.list().size() > before - 2) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].occurrence.on, "target-stop");
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("target", "docker:c1")));
    EXPECT_THAT(shots[0].on, IsEmpty());
}

TEST_F(EventsTest, EachTargetThatStopsHasItsOwnCooldownWhichOutlastsIt) {
    armed("note", {.on = "target-stop", .cooldown = std::chrono::seconds(60)});
    open();
    have(2);
    events->begin();
    const auto stop = [&](std::size_t process) {
        const std::size_t before = targets.list().size();
        processes[process].end();
        while (targets.list().size() == before) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    };
    stop(0);
    stop(1);
    EXPECT_THAT(shots, SizeIs(2));
    add("0");
    stop(2);
    EXPECT_THAT(shots, SizeIs(2)) << "it restarts again and again";
    now += 60'000'000;
    events->tellMissed();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_EQ(runs.runs.at(runs.skipped[0].first).request.target, "docker:c0");
}

TEST_F(EventsTest, ATargetThatNobodyTellsOfAnyMoreHasStoppedOnceItsProcessEnds) {
    armed("note", {.on = "target-stop"});
    open();
    have(2);
    events->begin();
    targets.removed({"docker", "c0"});
    turn(loop);
    EXPECT_THAT(shots, IsEmpty()) << "its backend may have lost sight of it";
    processes[0].end();
    while (shots.empty()) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("target", "docker:c0")));
}

TEST_F(EventsTest, ARunThatFinishesStartsTheNextOfItsChain) {
    armed("archive", {.on = "run-finished", .capsule = "scan", .outcome = "failed"});
    capsules.add("scan");
    open();
    have(1);
    events->begin();
    ran("scan", "docker:c0");
    ran("other", "docker:c0", Outcome::Failed);
    EXPECT_THAT(shots, IsEmpty());
    const RunId failed = ran("scan", "docker:c0", Outcome::Failed);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].capsule, "archive");
    EXPECT_EQ(shots[0].occurrence.cause, failed);
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("outcome", "failed")));
    EXPECT_THAT(shots[0].occurrence.facts, Contains(Pair("exit-code", "3")));
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c0"}));
}

// Or whoever may not run the one would start the other, where he may run nothing.
TEST_F(EventsTest, WhatHasNotRunIsNoneThatFinished) {
    armed("archive", {.on = "run-finished", .capsule = "scan"});
    armed("report", {.on = "run-finished", .capsule = "scan", .outcome = "denied"});
    capsules.add("scan");
    open();
    have(1);
    events->begin();
    for (const auto outcome : {Outcome::Skipped, Outcome::NotStarted, Outcome::TargetGone}) ran("scan", "docker:c0", outcome);
    EXPECT_THAT(shots, IsEmpty());
    ran("scan", "docker:c0", Outcome::Denied);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].capsule, "report") << "which asks for it";
    ran("scan", "docker:c0", Outcome::TimedOut);
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[1].capsule, "archive");
}

TEST_F(EventsTest, AChainWhoseTargetIsGoneIsTold) {
    armed("archive", {.on = "run-finished", .capsule = "scan"});
    open();
    events->begin();
    const RunId run = ran("scan", "docker:gone");
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("the target of run " + run + " is gone"));
}

TEST_F(EventsTest, AStormStartsOneInACooldownAndTheRestIsOneRow) {
    armed("dump", {.on = "run-finished", .capsule = "scan", .cooldown = std::chrono::seconds(60)});
    open();
    have(1);
    events->begin();
    RunId last;
    for (int i = 0; i < 1000; ++i) last = ran("scan", "docker:c0");
    EXPECT_THAT(shots, SizeIs(1));
    EXPECT_THAT(runs.skipped, IsEmpty());
    now += 60'000'000;
    events->tellMissed();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("999 more came within the cooldown of 60 s"));
    EXPECT_EQ(runs.runs.at(runs.skipped[0].first).request.occurrence->cause, last) << "so that the next recapd takes it for told";
    ran("scan", "docker:c0");
    EXPECT_THAT(shots, SizeIs(2));
}

TEST_F(EventsTest, WhatWasCutIsToldWhenRecapdEnds) {
    armed("dump", {.on = "run-finished", .capsule = "scan", .cooldown = std::chrono::seconds(60)});
    open();
    have(1);
    events->begin();
    for (int i = 0; i < 3; ++i) ran("scan", "docker:c0");
    EXPECT_THAT(runs.skipped, IsEmpty());
    events->tellAll();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("2 more came within the cooldown"));
}

TEST_F(EventsTest, WhatCouldStartNothingHasNoCooldown) {
    armed("dump", {.on = "run-finished", .capsule = "scan", .cooldown = std::chrono::seconds(60)});
    open();
    have(1);
    events->begin();
    refusal = "too many batches";
    ran("scan", "docker:c0");
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("too many batches"));
    refusal.clear();
    ran("scan", "docker:c0");
    EXPECT_THAT(shots, SizeIs(2));
    EXPECT_THAT(runs.skipped, SizeIs(1));
    ran("scan", "docker:c0");
    EXPECT_THAT(shots, SizeIs(2)) << "and now there is one";
}

TEST_F(EventsTest, WhatWasCutOfADisabledCapsuleIsToldBeforeItIsForgotten) {
    CapsuleInfo& dump = armed("dump", {.on = "run-finished", .capsule = "scan", .cooldown = std::chrono::seconds(60)});
    open();
    have(1);
    events->begin();
    for (int i = 0; i < 3; ++i) ran("scan", "docker:c0");
    dump.enabled = false;
    events->refresh();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("2 more came within the cooldown"));
}

TEST_F(EventsTest, ManyTargetsThatMakeNoiseAreOneRow) {
    armed("dump", {.on = "pressure", .cooldown = std::chrono::seconds(1)});
    open();
    have(20);
    events->begin();
    const ArmedEvent pressure = events->armed().at(0);
    for (int i = 0; i < 3; ++i)
        for (const Target* target : targets.list()) events->happened(pressure, target, {"pressure", 1, {}, {}});
    EXPECT_THAT(shots, SizeIs(20));
    now += 1'000'000;
    events->tellMissed();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("on 20 targets: 40 more came within the cooldown of 1 s"));
}

TEST_F(EventsTest, WhatIsFiredMayChangeWhatIsArmed) {
    CapsuleInfo& first = armed("a", {.on = "target-start"});
    CapsuleInfo& second = armed("b", {.on = "target-start"});
    open();
    events->begin();
    onFire = [&] {
        first.enabled = second.enabled = false;
        events->refresh();
    };
    have(1);
    EXPECT_THAT(shots, SizeIs(2)) << "both were armed when it started";
    add("1");
    EXPECT_THAT(shots, SizeIs(2));
}

TEST_F(EventsTest, WhatIsDisabledStartsNothing) {
    CapsuleInfo& scan = armed("scan", {.on = "target-start"});
    open();
    events->begin();
    scan.enabled = false;
    events->refresh();
    have(1);
    EXPECT_THAT(shots, IsEmpty());
    EXPECT_THAT(events->armed(), IsEmpty());
}

TEST_F(EventsTest, WhatCameInVainIsToldWhenItsCapsuleIsDisabled) {
    CapsuleInfo& dump = armed("dump", {.on = "run-finished", .capsule = "scan", .cooldown = std::chrono::seconds(60)});
    open();
    have(1);
    events->begin();
    for (int i = 0; i < 3; ++i) ran("scan", "docker:c0");
    dump.enabled = false;
    events->refresh();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("2 more came within the cooldown of 60 s"));
    const auto& request = runs.runs.at(runs.skipped[0].first).request;
    EXPECT_EQ(request.capsule, "dump");
    EXPECT_EQ(request.target, "docker:c0");
}

TEST(ChainLoop, OneThatLeadsBackIsNamed) {
    FewCapsules capsules;
    const auto after = [&](const std::string& name, const std::string& other) {
        EventSchedule event;
        event.on = "run-finished";
        event.capsule = other;
        capsules.add(name).schedule.events.push_back(event);
    };
    after("b", "a");
    after("c", "b");
    after("c", "nobody");
    EXPECT_EQ(chainLoop(*capsules.find("c").value(), capsules.list()), "");
    CapsuleInfo changed = *capsules.find("b").value();
    changed.name = "a";
    changed.schedule.events[0].capsule = "c";
    EXPECT_EQ(chainLoop(changed, capsules.list()), "a -> b -> c -> a");
    changed.schedule.events[0].capsule = "a";
    EXPECT_EQ(chainLoop(changed, capsules.list()), "a -> a");
}

}  // namespace
}  // namespace recap::test
