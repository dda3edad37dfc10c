// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/gate.hpp"

#include <gmock/gmock.h>

namespace recap {
namespace {

const Gate::Place kWeb{"scan", "docker:web"};
const Gate::Place kDb{"scan", "docker:db"};

TEST(Gate, WhereNothingRunsARunBegins) {
    Gate gate;
    gate.entered("1", "scan", "docker:db", Trigger::Periodic);
    gate.entered("2", "other", "docker:web", Trigger::Periodic);
    for (const Overlap overlap : {Overlap::Skip, Overlap::Queue, Overlap::Replace, Overlap::Allow})
        EXPECT_EQ(gate.ask(kWeb, overlap).go, Gate::Go::Now);
}

TEST(Gate, AnEarlierOneIsNamed) {
    Gate gate;
    gate.entered("1", "scan", "docker:web", Trigger::Periodic);
    const auto verdict = gate.ask(kWeb, Overlap::Skip);
    EXPECT_EQ(verdict.go, Gate::Go::Skip);
    EXPECT_EQ(verdict.earlier, "1");
    EXPECT_FALSE(verdict.another);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Allow).go, Gate::Go::Now);
    EXPECT_EQ(gate.ask(kDb, Overlap::Skip).go, Gate::Go::Now);
    EXPECT_FALSE(gate.left("1"));
    EXPECT_EQ(gate.ask(kWeb, Overlap::Skip).go, Gate::Go::Now);
}

TEST(Gate, OneWaitsAndNoMore) {
    Gate gate;
    gate.entered("1", "scan", "docker:web", Trigger::Periodic);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    const auto third = gate.ask(kWeb, Overlap::Queue);
    EXPECT_EQ(third.go, Gate::Go::Skip);
    EXPECT_TRUE(third.another);
    EXPECT_EQ(gate.left("1"), kWeb);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Now);
}

TEST(Gate, WhoWaitsGoesOnWhenTheLastHasEnded) {
    Gate gate;
    gate.entered("1", "scan", "docker:web", Trigger::Periodic);
    gate.entered("2", "scan", "docker:web", Trigger::Periodic);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    EXPECT_FALSE(gate.left("1"));
    EXPECT_EQ(gate.left("2"), kWeb);
}

TEST(Gate, AllThatNobodyAskedForMakeRoomAndWhatSomebodyAskedForIsWaitedFor) {
    Gate gate;
    gate.entered("1", "scan", "docker:web", Trigger::Periodic);
    gate.entered("2", "scan", "docker:web", Trigger::OnDemand);
    gate.entered("3", "scan", "docker:web", Trigger::Event);
    const auto verdict = gate.ask(kWeb, Overlap::Replace);
    EXPECT_EQ(verdict.go, Gate::Go::Wait);
    EXPECT_THAT(verdict.stop, testing::ElementsAre("1", "3"));
    EXPECT_FALSE(gate.left("1"));
    EXPECT_FALSE(gate.left("3"));
    EXPECT_EQ(gate.left("2"), kWeb) << "however long that took";
    gate.entered("4", "scan", "docker:web", Trigger::Periodic);
    EXPECT_THAT(gate.ask(kWeb, Overlap::Queue).stop, testing::IsEmpty());
}

TEST(Gate, WhoWithdrawsLeavesThePlaceToAnother) {
    Gate gate;
    gate.entered("1", "scan", "docker:web", Trigger::Periodic);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    gate.withdraw(kWeb);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    gate.withdraw(kWeb);
    EXPECT_FALSE(gate.left("1"));
    EXPECT_FALSE(gate.left("1")) << "a run that is not known is nobody's";
}

}  // namespace
}  // namespace recap
