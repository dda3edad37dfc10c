// SPDX-License-Identifier: Apache-2.0
// A storm of events, with events, batches and the engine's queue as daemon/main.cpp wires them: it costs what is bounded, each event
// leaves a row, and nobody who asks waits behind it.
#include <gmock/gmock.h>
#include <malloc.h>

#include <algorithm>
#include <set>

#include "daemon/triggers/batches.hpp"
#include "daemon/triggers/enabled.hpp"
#include "daemon/triggers/events.hpp"
#include "tests/unit/daemon/engine/targets.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr const char* kOld = "docker:old";  // a target that was there before

struct NoImages : ImageIndex {
    Result<const Image*> find(std::string_view) const override { return fail(Errc::NotFound, "not here"); }
    std::vector<const Image*> list() const override { return {}; }
};

struct Storm : testing::Test {
    Spine spine;
    NoImages images;
    std::deque<Child> processes;
    std::uint64_t now = std::uint64_t{1} << 50;  // what events go by: no timer of theirs comes by itself
    std::uint64_t since = 0;
    std::size_t ended = 0;  // of what was launched
    std::unique_ptr<Batches> batches;
    std::unique_ptr<Events> events;

    // The capsule runs at this event on whatever is selected; its targets' cooldown and recapd's own rate apply.
    void open(const EngineLimits& limits, const EventSchedule& event, const BatchLimits& ofBatches = {}) {
        spine.within(limits);
        spine.targets.state({"docker", "docker", BackendState::Ready, "", 0});
        start("old");
        spine.capsules.info.enabled = true;
        spine.capsules.info.schedule.events = {event};
        batches = Batches::create({spine.loop.get(), *spine.engine, spine.targets, spine.capsules, ofBatches}).value();
        spine.engine->listen(*batches);
        since = microseconds(CLOCK_REALTIME);
        EventParts parts{spine.loop.get(),
                         spine.targets,
                         spine.capsules,
                         *spine.engine,
                         [this](const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on) {
                             return fire(capsule, occurrence, on);
                         },
                         [this](const CapsuleInfo&) { return since; }};
        parts.now = [this] { return now; };
        events = Events::create(parts).value();
        spine.engine->listen(*events);
        spine.targets.listen(*events);
        events->begin();
    }
    Result<BatchId> fire(const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on) {
        BatchRequest request;
        request.run.trigger = Trigger::Event;
        request.run.occurrence = std::make_shared<const Occurrence>(occurrence);
        request.selection.targets = on;
        request.selection.parallel = capsule.selection.parallel;
        if (auto asked = asEnabler(capsule, images, *batches, request); !asked) return forward(std::move(asked));
        return batches->start(std::move(request));
    }
    // A container comes up, and the launcher answers at once who it is.
    void start(const std::string& id) {
        const pid_t pid = processes.emplace_back().pid();
        Target target;
        target.id = {"docker", id};
        target.name = "name-" + id;
        target.pid = pid;
        spine.targets.added(target);
        TargetFacts facts;
        facts.startTime = pinProcess(pid).value().startTime;
        for (auto& reply : std::exchange(spine.launcher.inspects, {})) reply(facts);
    }
    RunId ask(const std::string& target = kOld) {
        RunRequest request = spine.request(target);
        request.caller = {};
        const RunId id = spine.engine->submit(request).value();
        turn(spine.loop.get());
        return id;
    }
    Result<BatchId> askForOneOfThem() {
        BatchRequest request;
        request.run = spine.request("");
        request.run.caller = {};
        request.selection.mode = SelectionMode::One;
        auto batch = batches->start(std::move(request));
        turn(spine.loop.get());
        return batch;
    }
    std::size_t launched() const { return spine.launcher.starts.size(); }
    const RunPlan& lastLaunched() const { return spine.launcher.starts.back().first; }
    bool isLaunched(const RunId& id) const {
        return std::ranges::any_of(spine.launcher.starts, [&](const auto& start) { return start.first.id == id; });
    }
    std::size_t waiting() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(spine.engine->current(), [](const RunRecord* run) { return run->state == RunState::Pending; }));
    }
    std::size_t batchesUnderWay() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(batches->currentBatches(), [](const BatchRecord* one) { return one->state == BatchState::Running; }));
    }
    void endFirst() {
        spine.engine->ended(report(spine.launcher.starts[ended++].first.id));
        turn(spine.loop.get());
    }
    // Whatever is launched ends, until nothing is under way or waits.
    void drain() {
        turnUntil(spine.loop.get(), [&] {
            while (ended < launched()) spine.engine->ended(report(spine.launcher.starts[ended++].first.id));
            return waiting() == 0 && batchesUnderWay() == 0;
        });
    }
    std::vector<RunRecord> rows(const std::string& outcome) {
        RunFilter filter;
        filter.trigger = name(Trigger::Event);
        filter.outcome = outcome;
        filter.limit = 1000;
        return spine.engine->list(filter).value().runs;
    }
};

TEST_F(Storm, AThousandStartsInASecondAreBoundedAndKeepNobodyWaitingWhoAsks) {
    open({.runs = {.runs = 8, .runsPerTarget = 4, .queue = 64}}, {.on = "target-start"});
    for (int i = 0; i < 1000; ++i) {
        start("c" + std::to_string(i));
        now += 1;
    }
    turnUntil(spine.loop.get(), [&] { return launched() >= 6 && waiting() >= 48; });
    turn(spine.loop.get());
    EXPECT_EQ(launched(), 6u) << "three quarters of limits.runs";
    EXPECT_EQ(waiting(), 48u) << "three quarters of limits.queue";
    EXPECT_EQ(batchesUnderWay(), 200u) << "as many as the throttle lets by at once";

    const RunId first = ask();
    ASSERT_EQ(launched(), 7u);
    EXPECT_EQ(lastLaunched().id, first) << "at once, before 48 that wait";
    const auto batch = askForOneOfThem();
    ASSERT_TRUE(batch) << batch.error().message;
    turnUntil(spine.loop.get(), [&] { return launched() >= 8; });
    ASSERT_EQ(launched(), 8u);
    EXPECT_EQ(lastLaunched().request.batch, *batch);
    const RunId last = ask();
    EXPECT_EQ(launched(), 8u) << "there is no room";
    endFirst();
    ASSERT_EQ(launched(), 9u);
    EXPECT_EQ(lastLaunched().id, last) << "the first end is for whoever asked";

    drain();
    now += 1'000'000;
    events->tellMissed();
    spine.untilReported(1000 + 3);
    EXPECT_THAT(rows("skipped"), SizeIs(800));
    std::set<std::string> targets;
    for (const auto& run : rows("skipped")) {
        EXPECT_THAT(run.report.detail, HasSubstr("1 were more than recapd starts of all events in a second"));
        targets.insert(run.target);
    }
    EXPECT_THAT(rows("succeeded"), SizeIs(200));
    for (const auto& run : rows("succeeded")) targets.insert(run.target);
    EXPECT_THAT(targets, SizeIs(1000)) << "each start has its row";
    EXPECT_EQ(waiting(), 0u);
}

// Asked for once a millisecond, in a storm of ten thousand events a second.
TEST_F(Storm, WhoAsksIsLaunchedInTheTurnInWhichHeAsks) {
    spine.capsules.info.schedule.overlap = Overlap::Allow;
    open({.runs = {.runs = 8, .runsPerTarget = 8, .queue = 64}}, {.on = "file-changed", .path = "/etc/app.conf"});
    const ArmedEvent armed = events->armed().at(0);
    const Target* changed = spine.targets.resolve(kOld).value();
    for (int millisecond = 0; millisecond < 200; ++millisecond) {
        for (int i = 0; i < 10; ++i, now += 100) events->happened(armed, changed, {"file-changed", 1, {}, {{"path", "/etc/app.conf"}}});
        const RunId asked = ask();
        ASSERT_TRUE(isLaunched(asked));
        while (ended < launched()) endFirst();
    }
    drain();
    turnUntil(spine.loop.get(), [&] { return rows("succeeded").size() >= 100; });
    EXPECT_GE(rows("succeeded").size(), 100u) << "the events' too";
}

#ifndef __SANITIZE_ADDRESS__  // whose malloc keeps no count
TEST_F(Storm, WhatChangesTenThousandTimesASecondCostsNoMoreTheLongerItDoes) {
    open({.runs = {.runs = 8, .runsPerTarget = 8, .queue = 64}, .ended = 64}, {.on = "file-changed", .path = "/etc/app.conf"},
         {.ended = 16});
    const ArmedEvent armed = events->armed().at(0);
    const Target* changed = spine.targets.resolve(kOld).value();
    const auto second = [&] {
        for (int i = 0; i < 10'000; ++i, now += 100) {
            events->happened(armed, changed, {"file-changed", 1, {}, {{"path", "/etc/app.conf"}}});
            if (i % 100 != 0) continue;
            turn(spine.loop.get());
            while (ended < launched()) endFirst();
            spine.launcher.starts.clear();  // what the test itself keeps
            spine.notes = {};
            ended = 0;
        }
        events->tellMissed();
        drain();
    };
    for (int i = 0; i < 5; ++i) second();
    const std::size_t before = ::mallinfo2().uordblks;
    for (int i = 0; i < 10; ++i) second();
    const std::size_t after = ::mallinfo2().uordblks;
    EXPECT_LT(after, before + (1 << 20)) << "ten seconds, a hundred thousand events";
    EXPECT_GE(rows("skipped").size(), 15u) << "what started nothing is told once a second";
    for (const auto& run : rows("skipped")) EXPECT_FALSE(run.report.detail.empty());
}
#endif

}  // namespace
}  // namespace recap::test
