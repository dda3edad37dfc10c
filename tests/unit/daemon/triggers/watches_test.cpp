// SPDX-License-Identifier: Apache-2.0
// Which watches there are, how they are asked for, and what they make of numbers: kills and pressure.
#include "tests/unit/daemon/triggers/watches_fixture.hpp"

namespace recap::test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const EventSchedule kOom{.on = "oom"};
const EventSchedule kSeldomOom{.on = "oom", .cooldown = 60s};
const EventSchedule kPressure{.on = "pressure", .resource = "io", .stall = 100ms, .window = 1s};
const EventSchedule kFile{.on = "file-changed", .path = "/etc/app.conf"};

TEST_F(WatchesTest, OneForEachTargetThatIsSelected) {
    armed("report", kOom, "n in (0,1)");
    armed("scan", {.on = "target-start"});
    open(3);
    ASSERT_THAT(opener.asked, SizeIs(2));
    EXPECT_EQ(opener.asked[0].target, (TargetId{"docker", "c0"}));
    EXPECT_EQ(opener.asked[1].target, (TargetId{"docker", "c1"}));
    EXPECT_EQ(opener.asked[0].what.kind, WatchKind::Oom);
    refresh();
    EXPECT_THAT(opener.asked, SizeIs(2)) << "nothing is new";
    capsules.all["report"].selection.labels.clear();
    refresh();
    EXPECT_THAT(opener.asked, SizeIs(3));
    add("3");
    EXPECT_THAT(opener.asked, SizeIs(4)) << "a target that comes later";
    EXPECT_EQ(watches->size(), 4u);
}

TEST_F(WatchesTest, WhatTheManifestSaysIsAskedFor) {
    armed("pressed", kPressure);
    armed("reload", kFile);
    open();
    ASSERT_THAT(opener.asked, SizeIs(1)) << "of one target one at a time";
    EXPECT_EQ(opener.asked[0].what.kind, WatchKind::Pressure);
    EXPECT_EQ(opener.asked[0].what.resource, PressureOf::Io);
    EXPECT_EQ(opener.asked[0].what.stall, 100ms);
    EXPECT_EQ(opener.asked[0].what.window, 1s);
    opener.refuse(Errc::NotSupported, "no psi");
    ASSERT_THAT(opener.asked, SizeIs(1));
    EXPECT_EQ(opener.asked[0].what.kind, WatchKind::File);
    EXPECT_EQ(opener.asked[0].what.path, "/etc/app.conf");
}

// A target has chosen some of its words, and each line of stderr is a record of the journal's.
TEST_F(WatchesTest, ARefusalIsOneLineWhateverIsInIt) {
    armed("reload", kFile);
    open();
    testing::internal::CaptureStderr();
    opener.refuse(Errc::NotSupported, "is on a fuse mount, /srv/e\n<0>recapd: forged\x1b[31m");
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_THAT(said, HasSubstr("/srv/e\\x0a<0>recapd: forged\\x1b[31m;"));
    EXPECT_EQ(std::ranges::count(said, '\n'), 1);
}

TEST_F(WatchesTest, AFewAreAskedForAtATime) {
    armed("report", kOom);
    open(20);
    EXPECT_THAT(opener.asked, SizeIs(8));
    while (!opener.asked.empty()) {
        EXPECT_LE(opener.asked.size(), 8u);
        opener.answerCounter();
    }
    EXPECT_EQ(opener.questions, 20u);
}

TEST_F(WatchesTest, AProcessThatIsKilledStartsARunOnItsTarget) {
    armed("report", kOom);
    open(2);
    opener.answerCounter();
    const int second = opener.answerCounter();
    hear();
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_EQ(::eventfd_write(second, 2), 0);
    hear();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].capsule, "report");
    EXPECT_THAT(shots[0].on, ElementsAre(TargetId{"docker", "c1"}));
    EXPECT_EQ(shots[0].occurrence.on, "oom");
    EXPECT_EQ(shots[0].fact("kills"), "2");
    ASSERT_EQ(::eventfd_write(second, 1), 0);
    hear();
    EXPECT_THAT(shots, SizeIs(1)) << "looked at a few times in a second";
    pass(250ms);
    hear();
    EXPECT_THAT(shots, SizeIs(2)) << "and none is lost";
}

TEST_F(WatchesTest, WhatComesInACooldownIsNotListenedToAndIsCountedAfterIt) {
    armed("report", kSeldomOom);
    open();
    const int counter = opener.answerCounter();
    ASSERT_EQ(::eventfd_write(counter, 1), 0);
    hear();
    ASSERT_THAT(shots, SizeIs(1));
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(::eventfd_write(counter, 1), 0);
        EXPECT_EQ(sd_event_run(loop.get(), 0), 0) << "nobody wakes for it";
        pass(1s);
    }
    EXPECT_THAT(runs.skipped, IsEmpty());
    pass(55s);
    pass(1s);
    hear();
    EXPECT_THAT(shots, SizeIs(1));
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("5 more came within the cooldown of 60 s"));
    ASSERT_EQ(::eventfd_write(counter, 1), 0);
    pass(1s);
    hear();
    EXPECT_THAT(shots, SizeIs(2)) << "it is listened to again";
}

TEST_F(WatchesTest, OfACounterNobodyKnowsWhyItCountsOnceTheTargetHasEnded) {
    armed("report", kOom);
    open();
    const int counter = opener.answerCounter();
    processes[0].end();
    ASSERT_EQ(::eventfd_write(counter, 1), 0);
    hear();
    EXPECT_THAT(shots, IsEmpty());
    EXPECT_THAT(runs.skipped, IsEmpty());
    EXPECT_EQ(watches->size(), 0u);
}

TEST_F(WatchesTest, MemoryEventsTellByHowMany) {
    armed("report", kOom);
    open();
    const Urgent urgent;
    opener.answer(WatchForm::Counters, UniqueFd(::dup(urgent.theirs.get())));
    urgent.send();
    ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    EXPECT_THAT(shots, IsEmpty()) << "another number";
    pass(1s);
    kills = 3;
    urgent.send();
    ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("kills"), "3");
    EXPECT_THAT(shots[0].occurrence.cause, ::testing::EndsWith(" 3"));
    kills = 4;
    pass(1s);
    urgent.send();
    ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[1].fact("kills"), "1");
}

TEST_F(WatchesTest, ATargetThatIsKilledItselfIsTold) {
    armed("report", kOom);
    open();
    const Urgent urgent;
    opener.answer(WatchForm::Counters, UniqueFd(::dup(urgent.theirs.get())));
    kills = 1;
    processes[0].end();
    hear();
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("nothing to attach to"));
    const auto& request = runs.runs.at(runs.skipped[0].first).request;
    EXPECT_EQ(request.capsule, "report");
    EXPECT_EQ(request.target, "docker:c0");
    EXPECT_EQ(request.occurrence->facts.at("kills"), "1");
    EXPECT_THAT(opener.unwatched, ElementsAre(1u));
}

TEST_F(WatchesTest, AKillBeforeTheFirstLookIsMadeUpForOnce) {
    armed("report", kOom);
    since = 120'000'000;
    open(2);
    kills = 3;
    const Target& first = *targets.resolve("docker:c0").value();
    RunRecord before;  // the recapd of before acted on two
    before.request.capsule = "report";
    before.target = "docker:c0";
    const std::string life = "boot " + std::to_string(first.pid) + " " + std::to_string(first.startTime);
    before.started = 60'000'000;  // when the clock had not been set
    before.request.occurrence = std::make_shared<const Occurrence>(Occurrence{"oom", 1, life + " 2", {}});
    runs.listed = {before};
    std::vector<Urgent> urgent(2);
    for (auto& one : urgent) opener.answer(WatchForm::Counters, std::move(one.theirs));
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[0].fact("kills"), "1");
    EXPECT_EQ(shots[1].fact("kills"), "3") << "and of another target all";
}

TEST_F(WatchesTest, AKillWithinACooldownIsNotOneOfTheNextRecapd) {
    armed("report", kSeldomOom);
    open();
    const Urgent urgent, next;
    opener.answer(WatchForm::Counters, UniqueFd(::dup(urgent.theirs.get())));
    kills = 1;
    urgent.send();
    ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    ASSERT_THAT(shots, SizeIs(1));
    kills = 3;
    pass(60s);
    pass(1s);
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("2 more came within the cooldown of 60 s"));
    EXPECT_THAT(runs.runs.at(runs.skipped[0].first).request.occurrence->cause, ::testing::EndsWith(" 3"));
    kept.reset();
    restart();
    opener.answer(WatchForm::Counters, UniqueFd(::dup(next.theirs.get())));
    EXPECT_THAT(shots, SizeIs(1));
}

TEST_F(WatchesTest, ManyTargetsKillsHaveARowEach) {
    armed("report", kSeldomOom);
    open(20);
    const ArmedEvent oom = events->armed().at(0);
    for (const Target* target : targets.list()) events->cameInCooldown(oom, target->id, 1, target->id.text());
    pass(60s);
    EXPECT_THAT(runs.skipped, SizeIs(20)) << "the next recapd looks for each";
}

TEST_F(WatchesTest, KillsOfACooldownAreToldWhenRecapdEnds) {
    armed("report", kSeldomOom);
    open();
    const Urgent urgent;
    opener.answer(WatchForm::Counters, UniqueFd(::dup(urgent.theirs.get())));
    kills = 1;
    urgent.send();
    ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    kills = 3;
    watches->tellAll();
    events->tellAll();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("2 more came within the cooldown of 60 s"));
}

// The ledger's rows are swept one day.
TEST_F(WatchesTest, KillsThatWereActedOnAreKnownHoweverLongAgo) {
    armed("report", kOom);
    kills = 3;
    open(2);
    const Urgent first, second, next, then;
    opener.answer(WatchForm::Counters, UniqueFd(::dup(first.theirs.get())));
    opener.answer(WatchForm::Counters, UniqueFd(::dup(second.theirs.get())));
    ASSERT_THAT(shots, SizeIs(2));
    events->keepKnown();
    const Target& target = *targets.resolve("docker:c0").value();
    const auto life = std::to_string(target.pid) + "\t" + std::to_string(target.startTime);
    EXPECT_THAT(*kept, HasSubstr("oom\t" + life + "\treport\t3\n"));
    shots.clear();
    kills = 4;
    restart();
    opener.answer(WatchForm::Counters, UniqueFd(::dup(next.theirs.get())));
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("kills"), "1");
    processes[1].end();
    hear();
    events->keepKnown();
    EXPECT_THAT(*kept, HasSubstr("oom\t" + life + "\treport\t4\n"));
    EXPECT_EQ(std::ranges::count(*kept, '\n'), 2) << "of a target that has ended nothing is kept: " << *kept;
}

TEST_F(WatchesTest, OrToldAsMissedOrIsOfBeforeTheCapsuleWasEnabled) {
    armed("report", kOom).schedule.missed = Missed::Skip;
    open(2);
    kills = 3;
    std::vector<Urgent> urgent(2);
    opener.answer(WatchForm::Counters, std::move(urgent[0].theirs));
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("before the target was watched"));
    since = microseconds(CLOCK_REALTIME) + 60'000'000;
    refresh();
    opener.answer(WatchForm::Counters, std::move(urgent[1].theirs));
    EXPECT_THAT(shots, IsEmpty());
    EXPECT_THAT(runs.skipped, SizeIs(1));
}

TEST_F(WatchesTest, PressureThatRisesSaysOfWhatAndHowMuch) {
    armed("pressed", kPressure);
    open();
    const Urgent urgent;
    opener.answer(WatchForm::Trigger, UniqueFd(::dup(urgent.theirs.get())));
    urgent.send();
    ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    Urgent::taken(urgent.theirs.get());
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("resource"), "io");
    EXPECT_EQ(shots[0].fact("stall"), "200000") << "as the kernel took it";
    EXPECT_EQ(shots[0].fact("window"), "2000000");
}

TEST_F(WatchesTest, ATriggerThatIsGoneIsAskedForAnew) {
    armed("pressed", kPressure);
    open();
    Urgent urgent;
    const auto id = opener.answer(WatchForm::Trigger, std::move(urgent.theirs));
    const linger atOnce{1, 0};
    ::setsockopt(urgent.mine.get(), SOL_SOCKET, SO_LINGER, &atOnce, sizeof atOnce);
    urgent.mine.reset();
    const int before = launcher.inspected;
    while (opener.asked.empty()) ASSERT_GT(sd_event_run(loop.get(), 20'000'000), 0);
    EXPECT_THAT(opener.unwatched, ElementsAre(id));
    EXPECT_GT(launcher.inspected, before) << "the target may have gone to another cgroup";
    EXPECT_THAT(shots, IsEmpty());
}

TEST_F(WatchesTest, WhatIsNotWantedAnyMoreIsLetGo) {
    CapsuleInfo& report = armed("report", kOom);
    open(2);
    opener.answerCounter();
    opener.answerCounter();
    processes[0].end();
    hear();
    EXPECT_THAT(opener.unwatched, ElementsAre(1u)) << "its target has gone";
    report.schedule.events[0].cooldown = 60s;
    refresh();
    EXPECT_THAT(opener.unwatched, ElementsAre(1u, 2u)) << "its schedule is another one";
    ASSERT_THAT(opener.asked, SizeIs(1));
    report.enabled = false;
    refresh();
    EXPECT_EQ(watches->size(), 0u);
    opener.answerCounter();
    EXPECT_THAT(opener.unwatched, ElementsAre(1u, 2u, 3u)) << "what was asked for before";
}

// As the process backend does, which knows a pid before it knows whose container that is.
TEST_F(WatchesTest, ATargetIsWatchedOnceItsBackendKnowsItsLabels) {
    armed("report", kOom, "n=web");
    open(2);
    ASSERT_THAT(opener.asked, IsEmpty());
    relabel("1", "web");
    ASSERT_THAT(opener.asked, SizeIs(1));
    EXPECT_EQ(opener.asked[0].target, (TargetId{"docker", "c1"}));
    opener.answerCounter();
    relabel("1", "web");
    EXPECT_EQ(opener.questions, 1u) << "nothing is new";
    EXPECT_THAT(opener.unwatched, IsEmpty());
    relabel("1", "db");
    EXPECT_THAT(opener.unwatched, ElementsAre(1u));
    EXPECT_EQ(watches->size(), 0u);
}

TEST_F(WatchesTest, WhatCameInACooldownOfATargetThatIsSelectedNoMoreIsTold) {
    armed("report", kSeldomOom, "n=0");
    open();
    const int counter = opener.answerCounter();
    ASSERT_EQ(::eventfd_write(counter, 1), 0);
    hear();
    ASSERT_THAT(shots, SizeIs(1));
    ASSERT_EQ(::eventfd_write(counter, 3), 0);
    relabel("0", "db");
    EXPECT_EQ(watches->size(), 0u);
    pass(61s);
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("3 more came within the cooldown of 60 s"));
}

TEST_F(WatchesTest, ALauncherThatGoesTakesItsIdsAndNotTheDescriptors) {
    armed("report", kOom);
    open();
    const int counter = opener.answerCounter();
    watches->launcherGone();
    watches->launcherConnected();
    EXPECT_THAT(opener.asked, IsEmpty());
    ASSERT_EQ(::eventfd_write(counter, 1), 0);
    hear();
    EXPECT_THAT(shots, SizeIs(1));
    capsules.all["report"].enabled = false;
    refresh();
    EXPECT_THAT(opener.unwatched, IsEmpty()) << "that id may be another's";
}

TEST_F(WatchesTest, ARefusalIsShownAndTriedAgainLessAndLessOften) {
    armed("report", kOom);
    open(3);
    for (int i = 0; i < 3; ++i) opener.refuse(Errc::Denied, "ceiling: watch");
    EXPECT_EQ(problem("report"), "ceiling: watch; and likewise on 2 more");
    std::vector<int> asked;  // in which seconds
    for (int second = 1; second <= 1200; ++second) {
        pass(1s);
        if (opener.asked.empty()) continue;
        asked.push_back(second);
        while (!opener.asked.empty()) opener.refuse(Errc::Denied, "ceiling: watch");
    }
    EXPECT_THAT(asked, ElementsAre(1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111));
    watches->launcherConnected();
    pass(0s);
    ASSERT_THAT(opener.asked, SizeIs(3)) << "one that is new may allow it";
    for (int i = 0; i < 3; ++i) opener.answerCounter();
    EXPECT_EQ(problem("report"), "");
}

TEST_F(WatchesTest, WhatAKernelCannotTellIsNotAskedForAgain) {
    armed("pressed", kPressure);
    open();
    opener.refuse(Errc::NotSupported, "pressure: this kernel keeps no io.pressure of a cgroup (psi)");
    EXPECT_THAT(problem("pressed"), HasSubstr("keeps no io.pressure"));
    for (int i = 0; i < 100; ++i) pass(60s);
    EXPECT_EQ(opener.questions, 1u);
    watches->launcherConnected();
    pass(0s);
    EXPECT_EQ(opener.questions, 2u) << "but of another launcher";
}

TEST_F(WatchesTest, ATargetThatIsNotWhatItWasIsInspectedAnew) {
    armed("report", kOom);
    open();
    const int before = launcher.inspected;
    opener.refuse(Errc::TargetGone, "the target went to another cgroup");
    pass(1s);
    EXPECT_THAT(opener.asked, SizeIs(1));
    EXPECT_EQ(launcher.inspected, before + 1);
}

TEST_F(WatchesTest, WithoutALauncherTheyWaitForOne) {
    armed("report", kOom);
    open(0);
    launcher.here = false;
    add("0");
    EXPECT_THAT(opener.asked, IsEmpty());
    EXPECT_THAT(problem("report"), HasSubstr("recap-launcher is away"));
    launcher.here = true;
    targets.launcherConnected();
    watches->launcherConnected();
    pass(0s);
    EXPECT_THAT(opener.asked, SizeIs(1));
}

TEST_F(WatchesTest, AnAnswerMayComeAfterTheEnd) {
    armed("report", kOom);
    open();
    const auto late = std::move(opener.asked.front());
    const auto before = opener.asked.size();
    watches.reset();
    late.reply(fail(Errc::Unavailable, "recap-launcher is away"));
    EXPECT_THAT(opener.asked, SizeIs(before)) << "whoever is gone asks nobody anew";
}

TEST_F(WatchesTest, ThereAreOnlySoManyAndWhoHasNoneHasOneLater) {
    for (int i = 10; i < 75; ++i) armed("report-" + std::to_string(i), kOom);
    open(64);
    EXPECT_EQ(watches->size(), Watches::kMost);
    EXPECT_EQ(problem("report-10"), "");
    EXPECT_THAT(problem("report-74"), HasSubstr("64 targets are not watched, as recapd has no more than 4096 watches"));
    capsules.all["report-10"].enabled = false;
    refresh();
    EXPECT_EQ(watches->size(), Watches::kMost);
    EXPECT_EQ(problem("report-74"), "");
    armed("report-75", kOom);
    refresh();
    EXPECT_THAT(problem("report-75"), HasSubstr("64 targets are not watched"));
    for (const char* label : {"a", "b"}) relabel("63", label);
    EXPECT_THAT(problem("report-75"), HasSubstr("64 targets are not watched")) << "one that is told of once more is the same one";
    processes[0].end();
    hear();
    pass(1s);
    EXPECT_EQ(watches->size(), 63u * 65) << "the room of a target that went";
    EXPECT_EQ(problem("report-75"), "");
}

}  // namespace
}  // namespace recap::test
