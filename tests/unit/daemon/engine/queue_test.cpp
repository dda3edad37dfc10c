// SPDX-License-Identifier: Apache-2.0
// Runs that wait, and capsules that are left alone, as the engine's callers see it.
#include <gmock/gmock.h>

#include "fakes.hpp"

namespace recap::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct EngineQueue : testing::Test {
    Spine spine;

    void limits(const RunLimits& runs) { spine.within({.runs = runs}); }
    RunId submit(Trigger trigger = Trigger::OnDemand, const std::string& target = "docker:web") {
        RunRequest request = spine.request(target);
        request.caller.uid = 0;
        request.trigger = trigger;
        return spine.engine->submit(request).value();
    }
    std::vector<RunId> launched() const {
        std::vector<RunId> ids;
        for (const auto& [plan, reply] : spine.launcher.starts) ids.push_back(plan.id);
        return ids;
    }
    void untilLaunched(std::size_t count) {
        turnUntil(spine.loop.get(), [&] { return spine.launcher.starts.size() >= count; });
    }
    void failAlone(Trigger trigger) {
        const auto before = spine.launcher.starts.size();
        const auto told = spine.notes.reports.size();
        const RunId id = submit(trigger);
        untilLaunched(before + 1);
        spine.launcher.starts.back().second(UniqueFd());
        spine.engine->ended(report(id, Outcome::Failed, 1));
        spine.untilReported(told + 1);
    }
};

TEST_F(EngineQueue, WhatIsAboveTheLimitWaitsUntilOneEnds) {
    limits({.runs = 1, .runsPerTarget = 1, .queue = 8});
    spine.haveTarget();
    const RunId first = submit();
    const RunId second = submit();
    turn(spine.loop.get());
    EXPECT_THAT(launched(), ElementsAre(first));
    const RunRecord* waiting = spine.engine->find(second);
    EXPECT_EQ(waiting->state, RunState::Pending);
    EXPECT_EQ(waiting->target, "docker:web-id");
    EXPECT_THAT(waiting->report.detail, HasSubstr("waits for room: 1 runs are under way, as many as limits.runs = 1"));
    EXPECT_EQ(spine.planner.asked, 1) << "planned only when it goes on";
    spine.engine->ended(report(first));
    untilLaunched(2);
    EXPECT_THAT(launched(), ElementsAre(first, second));
    EXPECT_EQ(spine.engine->find(second)->report.detail, "");
}

// As it was before there was a queue: a caller who finds room is planned and handed over on the turn after submit().
TEST_F(EngineQueue, WithoutContentionItTakesOneTurn) {
    spine.haveTarget();
    turn(spine.loop.get());
    const RunId id = submit();
    ASSERT_GT(sd_event_run(spine.loop.get(), 0), 0);
    EXPECT_THAT(launched(), ElementsAre(id));
}

TEST_F(EngineQueue, OnDemandOvertakesWhatNobodyAskedFor) {
    limits({.runs = 1, .runsPerTarget = 16, .queue = 8});
    spine.haveTarget();
    const RunId first = submit();
    const RunId periodic = submit(Trigger::Periodic);
    const RunId event = submit(Trigger::Event);
    turn(spine.loop.get());
    const RunId asked = submit();
    turn(spine.loop.get());
    std::vector<RunId> order{first};
    for (std::size_t i = 2; i <= 4; ++i) {
        spine.engine->ended(report(order.back()));
        untilLaunched(i);
        order.push_back(launched().back());
    }
    EXPECT_THAT(order, ElementsAre(first, asked, event, periodic));
}

TEST_F(EngineQueue, AFullQueueRefuses) {
    limits({.runs = 1, .runsPerTarget = 1, .queue = 2});
    spine.haveTarget();
    submit();
    turn(spine.loop.get());
    submit();
    submit();
    auto refused = spine.engine->submit(spine.request());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::LimitExceeded);
    EXPECT_THAT(refused.error().message, HasSubstr("limits.queue = 2 of recapd.toml"));
}

TEST_F(EngineQueue, WhatStartsByAUsersRightLeavesThatUsersShareAlone) {
    limits({.runs = 4, .runsPerTarget = 4, .queue = 8});
    spine.haveTarget();
    RunRequest event = spine.request();
    event.trigger = Trigger::Event;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(spine.engine->submit(event)) << i;
    turn(spine.loop.get());
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(spine.engine->submit(spine.request())) << i;
    const auto refused = spine.engine->submit(spine.request());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("uid 1000 has 3 runs under way"));
    EXPECT_TRUE(spine.engine->submit(event)) << "nor is a storm's own share the user's";
}

TEST_F(EngineQueue, ARunIsStoppedWhileItWaits) {
    limits({.runs = 1, .runsPerTarget = 1, .queue = 8});
    spine.haveTarget();
    const RunId first = submit();
    const RunId second = submit();
    const RunId third = submit();
    turn(spine.loop.get());
    bool answered = false;
    spine.engine->stop(second, std::chrono::seconds(5), [&](const Result<void>& stopped) { answered = stopped.has_value(); });
    EXPECT_TRUE(answered);
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::Killed);
    EXPECT_EQ(spine.notes.reports[0].detail, "stopped before it was started");
    EXPECT_TRUE(spine.launcher.stops.empty());
    spine.engine->ended(report(first));
    untilLaunched(2);
    EXPECT_THAT(launched(), ElementsAre(first, third));
}

TEST_F(EngineQueue, AdoptedRunsCount) {
    const RunId first = spine.startedRun();
    spine.engine->progressed(first, {0, 0, 30, 40, 0, 0});
    limits({.runs = 1, .runsPerTarget = 1, .queue = 8});
    spine.engine->connected();
    spine.launcher.lists.back()(std::vector<LaunchedRun>{{first, "tcpdump", "docker:web-id", false, report(first)}});
    const auto before = spine.launcher.starts.size();
    const RunId second = submit();
    turn(spine.loop.get());
    EXPECT_EQ(spine.launcher.starts.size(), before);
    EXPECT_EQ(spine.engine->find(second)->state, RunState::Pending);
    spine.engine->ended(report(first));
    untilLaunched(before + 1);
    EXPECT_EQ(launched().back(), second);
}

TEST_F(EngineQueue, RefusedOnesGiveTheirRoomAway) {
    limits({.runs = 1, .runsPerTarget = 1, .queue = 500});
    spine.haveTarget();
    const RunId first = submit();
    turn(spine.loop.get());
    for (int i = 0; i < 300; ++i) submit();
    turn(spine.loop.get());
    spine.planner.verdict = fail(Errc::Denied, "no");
    spine.engine->ended(report(first));
    spine.untilReported(301);
    EXPECT_EQ(spine.launcher.starts.size(), 1u);
}

// Else a recapd that is killed in between leaves no word of it, and the next one has it done once more.
TEST_F(EngineQueue, WhatAnEventStartsIsInTheLedgerBeforeItIsHandedOver) {
    spine.haveTarget();
    RunRequest request = spine.request();
    request.trigger = Trigger::Event;
    request.occurrence = std::make_shared<const Occurrence>(Occurrence{"target-start", 1, "42", {}});
    const RunId id = spine.engine->submit(request).value();
    const RunId other = spine.engine->submit(request).value();
    turnUntil(spine.loop.get(), [&] { return spine.planner.asked == 2; });
    spine.engine->stop(other, std::chrono::seconds(5), [](const Result<void>&) {});
    untilLaunched(1);
    const auto row = spine.ledger->find(id).value();
    ASSERT_TRUE(row);
    EXPECT_EQ(row->request.occurrence->on, "target-start");
    EXPECT_EQ(row->request.occurrence->cause, "42");
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].id, other) << "stopped meanwhile";
    EXPECT_THAT(launched(), ElementsAre(id));
}

TEST_F(EngineQueue, OtherLimitsHoldFromNowOn) {
    limits({.runs = 1, .runsPerTarget = 8, .queue = 8});
    spine.haveTarget();
    submit();
    submit();
    turn(spine.loop.get());
    EXPECT_EQ(spine.launcher.starts.size(), 1u);
    spine.engine->limit({.runs = 2, .runsPerTarget = 8, .queue = 8});
    untilLaunched(2);
}

TEST_F(EngineQueue, ACapsuleThatFailsAgainAndAgainIsSkippedAndSaysSo) {
    spine.haveTarget();
    for (int i = 0; i < 10; ++i) failAlone(Trigger::Periodic);
    const auto health = spine.engine->health("tcpdump");
    EXPECT_EQ(health.failures, 10u);
    EXPECT_GT(health.backedOffUntil, microseconds(CLOCK_REALTIME));
    const RunId skipped = submit(Trigger::Event);
    spine.untilReported(11);
    EXPECT_EQ(spine.notes.reports.back().id, skipped);
    EXPECT_EQ(spine.notes.reports.back().outcome, Outcome::Skipped);
    EXPECT_EQ(spine.notes.reports.back().detail, "the capsule has failed 10 times in a row, and is left alone for 1 min");
    EXPECT_EQ(spine.launcher.starts.size(), 10u);
    const RunId asked = submit();
    untilLaunched(11);
    spine.engine->ended(report(asked));
    EXPECT_EQ(spine.engine->health("tcpdump").failures, 0u);
}

TEST_F(EngineQueue, ALaterRecapdKnowsOfItFromTheLedger) {
    spine.haveTarget();
    for (int i = 0; i < 10; ++i) failAlone(Trigger::Event);
    spine.restart();
    EXPECT_EQ(spine.engine->health("tcpdump").failures, 0u);
    ASSERT_TRUE(spine.engine->restore());
    EXPECT_EQ(spine.engine->health("tcpdump").failures, 10u);
    EXPECT_NE(spine.engine->health("tcpdump").backedOffUntil, 0u);
}

TEST_F(EngineQueue, ListsAreFilteredByTriggerBatchAndTime) {
    spine.haveTarget();
    RunRequest request = spine.request();
    request.trigger = Trigger::Periodic;
    request.batch = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const RunId inBatch = spine.engine->submit(request).value();
    const RunId other = submit(Trigger::Event);
    const RunId asked = submit();
    const auto listed = [&](const std::function<void(RunFilter&)>& set) {
        RunFilter filter;
        set(filter);
        std::vector<RunId> ids;
        const RunPage page = spine.engine->list(filter).value();
        for (const auto& run : page.runs) ids.push_back(run.id);
        return ids;
    };
    const auto check = [&] {
        EXPECT_THAT(listed([](RunFilter& filter) { filter.trigger = "periodic"; }), ElementsAre(inBatch));
        EXPECT_THAT(listed([](RunFilter& filter) { filter.trigger = "event"; }), ElementsAre(other));
        EXPECT_THAT(listed([](RunFilter& filter) { filter.trigger = "on-demand"; }), ElementsAre(asked));
        EXPECT_THAT(listed([&](RunFilter& filter) { filter.batch = request.batch; }), ElementsAre(inBatch));
        EXPECT_THAT(listed([&](RunFilter& filter) { filter.batch = request.batch, filter.trigger = "event"; }), ElementsAre());
        const std::uint64_t now = microseconds(CLOCK_REALTIME);
        EXPECT_EQ(listed([&](RunFilter& filter) { filter.until = now; }).size(), 3u);
        EXPECT_THAT(listed([&](RunFilter& filter) { filter.since = now + 1; }), ElementsAre());
        EXPECT_THAT(listed([&](RunFilter& filter) { filter.until = now - 3600ull * 1'000'000; }), ElementsAre());
    };
    check();
    spine.restart();  // the ledger's rows alone
    check();
}

}  // namespace
}  // namespace recap::test
