// SPDX-License-Identifier: Apache-2.0
// Whose turn it is, with no clock: a run goes on and ends when the test says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "queueing.hpp"

namespace recap::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(RunQueue, ARunThatFindsRoomWaitsForNobody) {
    Bench bench({.runs = 2, .runsPerTarget = 2, .queue = 8});
    EXPECT_TRUE(bench.come({"1"}));
    EXPECT_TRUE(bench.come({"2"}));
    EXPECT_FALSE(bench.queue.due());
    EXPECT_FALSE(bench.come({"3"}));
    EXPECT_FALSE(bench.queue.due());
    EXPECT_THAT(bench.end("1"), ElementsAre("3"));
    EXPECT_THAT(bench.end("3"), IsEmpty());
    EXPECT_TRUE(bench.come({"4"}));
}

TEST(RunQueue, WhatSomebodyAsksForGoesFirstAndPeriodicRunsLast) {
    Bench bench({.runs = 1, .runsPerTarget = 16, .queue = 64});
    ASSERT_TRUE(bench.come({"first"}));
    bench.come({"p1", "a", "docker:1", Trigger::Periodic});
    bench.come({"e1", "a", "docker:1", Trigger::Event});
    bench.come({"e2", "b", "docker:2", Trigger::Event});
    bench.come({"o1", "a", "docker:1"});
    std::vector<RunId> order{"first"};
    for (int i = 0; i < 4; ++i) {
        const auto let = bench.end(order.back());
        ASSERT_EQ(let.size(), 1u);
        order.push_back(let.front());
    }
    EXPECT_THAT(order, ElementsAre("first", "o1", "e1", "e2", "p1"));
}

// One capsule with a thousand runs does not keep another one's few from their turns.
TEST(RunQueue, CapsulesTakeTurns) {
    Bench bench({.runs = 1, .runsPerTarget = 16, .queue = 4096});
    ASSERT_TRUE(bench.come({"first"}));
    for (int i = 0; i < 1000; ++i) bench.come({"a" + std::to_string(i), "a", "docker:" + std::to_string(i)});
    for (int i = 0; i < 3; ++i) bench.come({"b" + std::to_string(i), "b"});
    bench.come({"c0", "c"});
    std::vector<RunId> order{"first"};
    for (int i = 0; i < 9; ++i) order.push_back(bench.end(order.back()).at(0));
    EXPECT_THAT(order, ElementsAre("first", "a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3", "a4"));
}

TEST(RunQueue, ACapsulesTargetsTakeTurnsInTheOrderInWhichTheyCame) {
    Bench bench({.runs = 1, .runsPerTarget = 16, .queue = 64});
    ASSERT_TRUE(bench.come({"first"}));
    for (const char* id : {"x1", "x2", "x3"}) bench.come({id, "a", "docker:x"});
    for (const char* id : {"y1", "y2"}) bench.come({id, "a", "docker:y"});
    std::vector<RunId> order{"first"};
    for (int i = 0; i < 5; ++i) order.push_back(bench.end(order.back()).at(0));
    EXPECT_THAT(order, ElementsAre("first", "x1", "y1", "x2", "y2", "x3"));
}

TEST(RunQueue, ATargetAtItsMostBlocksNoOther) {
    Bench bench({.runs = 8, .runsPerTarget = 2, .queue = 64});
    EXPECT_TRUE(bench.come({"x1", "a", "docker:x"}));
    EXPECT_TRUE(bench.come({"x2", "b", "docker:x"}));
    EXPECT_FALSE(bench.come({"x3", "a", "docker:x"}));
    EXPECT_THAT(bench.queue.waitsFor("x3"), HasSubstr("docker:x"));
    EXPECT_THAT(bench.queue.waitsFor("x3"), HasSubstr("limits.runs-per-target = 2"));
    EXPECT_TRUE(bench.come({"y1", "a", "docker:y"}));
    EXPECT_THAT(bench.end("y1"), IsEmpty());
    EXPECT_THAT(bench.end("x2"), ElementsAre("x3"));
    EXPECT_EQ(bench.queue.waitsFor("x3"), "");
}

TEST(RunQueue, BehindABlockedTargetTheNextOneIsLetOn) {
    Bench bench({.runs = 3, .runsPerTarget = 2, .queue = 64});
    for (const char* id : {"x1", "x2"}) EXPECT_TRUE(bench.come({id, "a", "docker:x"}));
    EXPECT_TRUE(bench.come({"y1", "a", "docker:y"}));
    EXPECT_FALSE(bench.come({"x3", "a", "docker:x"}));
    EXPECT_FALSE(bench.come({"y2", "a", "docker:y"}));
    EXPECT_FALSE(bench.come({"z1", "b", "docker:z", Trigger::Periodic}));
    EXPECT_THAT(bench.end("y1"), ElementsAre("y2"));
    EXPECT_THAT(bench.end("y2"), ElementsAre("z1")) << "x3 is on demand, and yet its target has no room";
    EXPECT_THAT(bench.end("x1"), ElementsAre("x3"));
}

TEST(RunQueue, WhatWaitsIsBoundedAndTheRefusalNamesTheLimit) {
    Bench bench({.runs = 1, .runsPerTarget = 1, .queue = 4});
    ASSERT_TRUE(bench.come({"first"}));
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(bench.queue.admit(Trigger::OnDemand));
        bench.come({"o" + std::to_string(i)});
    }
    auto refused = bench.queue.admit(Trigger::OnDemand);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::LimitExceeded);
    EXPECT_THAT(refused.error().message, HasSubstr("limits.queue = 4"));
    EXPECT_THAT(bench.end("first"), ElementsAre("o0"));
    EXPECT_TRUE(bench.queue.admit(Trigger::OnDemand));
}

TEST(RunQueue, RunsWhoseTargetIsNotKnownYetCountAsWaiting) {
    RunQueue queue({.runs = 8, .runsPerTarget = 8, .queue = 2});
    queue.arrive(recordOf({"1"}));
    queue.arrive(recordOf({"2"}));
    EXPECT_FALSE(queue.admit(Trigger::OnDemand));
    queue.leave("1");
    EXPECT_TRUE(queue.admit(Trigger::OnDemand));
}

TEST(RunQueue, AStormOfEventsLeavesAQuarterOfEverythingToPeople) {
    Bench bench({.runs = 8, .runsPerTarget = 4, .queue = 8});
    int going = 0;
    for (int i = 0; i < 6; ++i) going += bench.come({"e" + std::to_string(i), "a", "docker:" + std::to_string(i), Trigger::Event});
    EXPECT_EQ(going, 6);
    for (int i = 6; i < 12; ++i) {
        ASSERT_TRUE(bench.queue.admit(Trigger::Event));
        EXPECT_FALSE(bench.come({"e" + std::to_string(i), "a", "docker:" + std::to_string(i), Trigger::Event}));
    }
    auto refused = bench.queue.admit(Trigger::Periodic);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("limits.queue = 8"));
    EXPECT_THAT(bench.queue.waitsFor("e6"), HasSubstr("limits.runs = 8"));
    EXPECT_TRUE(bench.queue.admit(Trigger::OnDemand));
    EXPECT_TRUE(bench.come({"o1"}));
    EXPECT_TRUE(bench.come({"o2"}));
    EXPECT_FALSE(bench.come({"o3"}));
    EXPECT_THAT(bench.end("e0"), ElementsAre("o3")) << "before the events that have waited longer";
}

TEST(RunQueue, OfATargetsRunsEventsHaveThreeQuarters) {
    Bench bench({.runs = 64, .runsPerTarget = 4, .queue = 64});
    for (const char* id : {"1", "2", "3"}) EXPECT_TRUE(bench.come({id, "a", "docker:x", Trigger::Event}));
    EXPECT_FALSE(bench.come({"4", "a", "docker:x", Trigger::Periodic}));
    EXPECT_THAT(bench.queue.waitsFor("4"), HasSubstr("three quarters of limits.runs-per-target = 4"));
    EXPECT_TRUE(bench.come({"o", "a", "docker:x"}));
}

TEST(RunQueue, AUserHasAQuarterAndKeepsNobodyElseWaiting) {
    Bench bench({.runs = 8, .runsPerTarget = 8, .queue = 64});
    for (const char* id : {"1", "2"}) EXPECT_TRUE(bench.come({id, "a", "docker:x", Trigger::OnDemand, 1000}));
    for (const char* id : {"3", "4"}) EXPECT_FALSE(bench.come({id, "a", "docker:x", Trigger::OnDemand, 1000}));
    EXPECT_THAT(bench.queue.waitsFor("3"), HasSubstr("uid 1000"));
    for (const char* id : {"5", "6"}) EXPECT_TRUE(bench.come({id, "a", "docker:x", Trigger::OnDemand, 1001}));
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(bench.come({"root" + std::to_string(i)}));
    EXPECT_FALSE(bench.come({"7", "a", "docker:x", Trigger::OnDemand, 1002}));
    EXPECT_THAT(bench.end("5"), ElementsAre("7"));
    EXPECT_THAT(bench.end("1"), ElementsAre("3"));
}

TEST(RunQueue, ARunThatIsStoppedWhileItWaitsIsNotLetOn) {
    Bench bench({.runs = 1, .runsPerTarget = 1, .queue = 8});
    ASSERT_TRUE(bench.come({"1"}));
    EXPECT_FALSE(bench.come({"2"}));
    EXPECT_FALSE(bench.come({"3"}));
    EXPECT_THAT(bench.end("2"), IsEmpty());
    EXPECT_THAT(bench.end("1"), ElementsAre("3"));
    EXPECT_THAT(bench.end("3"), IsEmpty());
    EXPECT_FALSE(bench.queue.due());
}

TEST(RunQueue, AdoptedRunsCountWhateverTheLimitsSay) {
    Bench bench({.runs = 2, .runsPerTarget = 2, .queue = 8});
    for (const char* id : {"1", "2", "3"}) bench.queue.adopt(recordOf({id}));
    EXPECT_FALSE(bench.come({"4"}));
    EXPECT_THAT(bench.end("1"), IsEmpty()) << "two still go on";
    EXPECT_THAT(bench.end("2"), ElementsAre("4"));
}

TEST(RunQueue, WhoComesWhileRoomIsBeingGivenAwayTakesItsTurn) {
    Bench bench({.runs = 1, .runsPerTarget = 1, .queue = 8});
    ASSERT_TRUE(bench.come({"1"}));
    EXPECT_FALSE(bench.come({"2", "b"}));
    bench.queue.leave("1");
    EXPECT_FALSE(bench.come({"3", "a"}));
    EXPECT_THAT(bench.letOn(), ElementsAre("2"));
    EXPECT_THAT(bench.end("2"), ElementsAre("3"));
}

TEST(RunQueue, MoreRoomIsGivenAwayAtOnceAndLessEndsNothing) {
    Bench bench({.runs = 1, .runsPerTarget = 8, .queue = 8});
    ASSERT_TRUE(bench.come({"1"}));
    for (const char* id : {"2", "3", "4"}) EXPECT_FALSE(bench.come({id}));
    bench.queue.limit({.runs = 3, .runsPerTarget = 8, .queue = 8});
    EXPECT_THAT(bench.letOn(), ElementsAre("2", "3"));
    bench.queue.limit({.runs = 1, .runsPerTarget = 8, .queue = 8});
    EXPECT_THAT(bench.end("1"), IsEmpty());
    EXPECT_THAT(bench.end("2"), IsEmpty());
    EXPECT_THAT(bench.end("3"), ElementsAre("4"));
}

TEST(RunQueue, ARunWhoseTargetIsAnotherNowIsCountedThere) {
    Bench bench({.runs = 8, .runsPerTarget = 1, .queue = 8});
    EXPECT_TRUE(bench.come({"1", "a", "docker:x"}));
    EXPECT_TRUE(bench.queue.enter("1", "docker:x")) << "planned again";
    EXPECT_TRUE(bench.come({"2", "a", "docker:y"}));
    EXPECT_FALSE(bench.queue.enter("1", "docker:y"));
    EXPECT_TRUE(bench.come({"3", "a", "docker:x"}));
    EXPECT_THAT(bench.end("2"), ElementsAre("1"));
}

// Simulated: three capsules of different appetite for a thousand turns, each run takes three of them.
TEST(RunQueue, InTheLongRunEachCapsuleHasItsShare) {
    Bench bench({.runs = 4, .runsPerTarget = 4, .queue = 100'000});
    std::map<std::string, int> let;
    std::deque<std::pair<int, RunId>> ends;
    int number = 0;
    const auto came = [&](const std::string& capsule, const std::string& target, int now) {
        const RunId id = capsule + std::to_string(number++);
        if (!bench.come({id, capsule, target, Trigger::Event})) return;
        ++let[capsule];
        ends.emplace_back(now + 3, id);
    };
    for (int now = 0; now < 1000; ++now) {
        for (int i = 0; i < 20; ++i) came("greedy", "docker:" + std::to_string(i), now);
        came("modest", "docker:1", now);
        if (now % 10 == 0) came("rare", "docker:2", now);
        while (!ends.empty() && ends.front().first <= now) {
            const auto next = bench.end(ends.front().second);
            ends.pop_front();
            for (const auto& id : next) {
                ++let[id.substr(0, id.find_first_of("0123456789"))];
                ends.emplace_back(now + 3, id);
            }
        }
    }
    EXPECT_GE(let["rare"], 99) << "its turn comes each time";
    EXPECT_NEAR(let["greedy"], let["modest"], 10) << "what waits in vain takes nobody's turn";
}

}  // namespace
}  // namespace recap::test
