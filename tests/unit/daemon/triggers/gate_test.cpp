// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/gate.hpp"

#include <gtest/gtest.h>

namespace recap {
namespace {

const Gate::Place kWeb{"scan", "docker:web"};
const Gate::Place kDb{"scan", "docker:db"};

TEST(Gate, WhereNothingRunsARunBegins) {
    Gate gate;
    gate.entered("1", "scan", "docker:db");
    gate.entered("2", "other", "docker:web");
    for (const Overlap overlap : {Overlap::Skip, Overlap::Queue, Overlap::Replace, Overlap::Allow})
        EXPECT_EQ(gate.ask(kWeb, overlap).go, Gate::Go::Now);
}

TEST(Gate, AnEarlierOneIsNamed) {
    Gate gate;
    gate.entered("1", "scan", "docker:web");
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
    gate.entered("1", "scan", "docker:web");
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    const auto third = gate.ask(kWeb, Overlap::Queue);
    EXPECT_EQ(third.go, Gate::Go::Skip);
    EXPECT_TRUE(third.another);
    EXPECT_EQ(gate.left("1"), kWeb);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Now);
}

TEST(Gate, WhoWaitsGoesOnWhenTheLastHasEnded) {
    Gate gate;
    gate.entered("1", "scan", "docker:web");
    gate.entered("2", "scan", "docker:web");
    EXPECT_EQ(gate.ask(kWeb, Overlap::Replace).go, Gate::Go::Replace);
    EXPECT_FALSE(gate.left("1"));
    EXPECT_EQ(gate.left("2"), kWeb);
}

TEST(Gate, WhoWithdrawsLeavesThePlaceToAnother) {
    Gate gate;
    gate.entered("1", "scan", "docker:web");
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    gate.withdraw(kWeb);
    EXPECT_EQ(gate.ask(kWeb, Overlap::Queue).go, Gate::Go::Wait);
    gate.withdraw(kWeb);
    EXPECT_FALSE(gate.left("1"));
    EXPECT_FALSE(gate.left("1")) << "a run that is not known is nobody's";
}

}  // namespace
}  // namespace recap
