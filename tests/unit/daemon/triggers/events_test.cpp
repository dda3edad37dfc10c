// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/events.hpp"

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

struct EventsTest : World {
    struct Shot {
        std::string capsule;
        Occurrence occurrence;
        std::vector<TargetId> on;
    };
    std::vector<Shot> shots;
    std::uint64_t now = 1'000'000'000;
    std::uint64_t since = 1;  // enabled long ago
    ThrottleLimits limits;
    std::optional<std::string> kept;  // by the recapd of before, and by this one
    std::function<void()> onFire = [] {};
    std::unique_ptr<Events> events;

    CapsuleInfo& armed(const std::string& name, EventSchedule event, const std::string& labels = "") {
        CapsuleInfo& capsule = capsules.add(name);
        capsule.enabled = true;
        capsule.schedule.events.push_back(std::move(event));
        capsule.selection.labels = parseLabels(labels).value();
        return capsule;
    }
    void open() {
        EventParts parts{
            loop.get(),
            targets,
            capsules,
            runs,
            [this](const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on) -> Result<BatchId> {
                shots.push_back({capsule.name, occurrence, on});
                onFire();
                return "batch";
            },
            [this](const CapsuleInfo& capsule) { return capsule.enabled ? since : 0; }};
        parts.limits = limits;
        parts.now = [this] { return now; };
        parts.recall = [this]() -> Result<std::string> {
            if (!kept) return fail(Errc::NotFound, "none");
            return *kept;
        };
        parts.keep = [this](const std::string& text) -> Result<void> {
            kept = text;
            return {};
        };
        parts.boot = "boot";
        events = Events::create(parts).value();
        targets.listen(*events);
        runs.listeners = {events.get()};
    }
    Occurrence startOf(const std::string& name) const {
        const Target& target = *targets.resolve(name).value();
        return {"target-start", 1, "boot " + std::to_string(target.pid) + " " + std::to_string(target.startTime), {}};
    }
    // Until what started then has started a clock tick ago, which is as exactly as that is known.
    static void untilTicksPass(std::uint64_t startTime) {
        const auto hertz = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
        while (microseconds(CLOCK_BOOTTIME) / (1'000'000 / hertz) <= startTime) {
        }
    }
    RunId ran(const std::string& capsule, const std::string& target, Outcome outcome = Outcome::Succeeded) {
        RunRequest request;
        request.capsule = capsule;
        request.target = target;
        const RunId id = runs.submit(std::move(request)).value();
        runs.runs.at(id).started = microseconds(CLOCK_REALTIME);
        runs.end(id, outcome, outcome == Outcome::Failed ? 3 : 0);
        return id;
    }
};

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
