// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/loop_timers.hpp"

#include <gmock/gmock.h>

#include <set>

#include "tests/unit/daemon/triggers/fakes.hpp"

namespace recap::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::Gt;

constexpr std::uint64_t kSecond = 1'000'000;

TEST(LoopTimers, AFirstTurnIsAPeriodAndThisHostsDelayAfterEnabling) {
    const Beat beat{60s, 7s, Missed::RunOnce, 1000 * kSecond};
    EXPECT_EQ(firstWait(beat, 0, 1000 * kSecond), 67s);
    EXPECT_EQ(firstWait(beat, 0, 1050 * kSecond), 17s);
}

TEST(LoopTimers, AnotherRecapdGoesOnWhereTheLastOneWas) {
    const Beat beat{60s, 7s, Missed::RunOnce, 1000 * kSecond};
    EXPECT_EQ(firstWait(beat, 1067 * kSecond, 1100 * kSecond), 27s) << "the delay is in the last turn already";
}

TEST(LoopTimers, AMissedTurnIsMadeUpForOnceOrNotAtAll) {
    Beat beat{60s, 7s, Missed::RunOnce, 1000 * kSecond};
    EXPECT_EQ(firstWait(beat, 1100 * kSecond, 2000 * kSecond), 7s) << "hosts that start together do not all run it at once";
    beat.missed = Missed::Skip;
    EXPECT_EQ(firstWait(beat, 1100 * kSecond, 2000 * kSecond), 60s);
    EXPECT_EQ(firstWait(beat, 1100 * kSecond, 2010 * kSecond), 50s);
}

TEST(LoopTimers, AClockThatIsSetBackMeansAWholePeriod) {
    EXPECT_EQ(firstWait({60s, 7s, Missed::RunOnce, 1000 * kSecond}, 5000 * kSecond, 1200 * kSecond), 60s);
}

TEST(LoopTimers, AHostsShareStaysAndIsSpreadOverHosts) {
    std::set<std::chrono::microseconds> lower, upper;
    for (int host = 0; host < 200; ++host) {
        const auto share = hostsShare(30s, "machine-" + std::to_string(host), "tool");
        EXPECT_EQ(share, hostsShare(30s, "machine-" + std::to_string(host), "tool"));
        EXPECT_GE(share, 0s);
        EXPECT_LE(share, 30s);
        (share < 15s ? lower : upper).insert(share);
    }
    EXPECT_THAT(lower.size(), Gt(60u));
    EXPECT_THAT(upper.size(), Gt(60u));
    EXPECT_EQ(hostsShare(0s, "machine", "tool"), 0s);
}

struct Ticking : testing::Test {
    EventLoop loop = newLoop();
    std::vector<std::string> due;
    std::unique_ptr<LoopTimers> timers = LoopTimers::create(loop.get(), [this](const std::string& name) { due.push_back(name); }).value();
    static std::uint64_t now() { return microseconds(CLOCK_REALTIME); }
    static LoopTimers::Wanted every(std::chrono::microseconds period, std::uint64_t last) {
        return {{period, 0s, Missed::RunOnce, now() - 3600 * kSecond}, last};
    }
};

TEST_F(Ticking, WhatIsOverdueIsDueAtOnceAndThenAPeriodLater) {
    timers->keep({{"late", every(60s, now() - 100 * kSecond)}, {"early", every(60s, now())}});
    sd_event_run(loop.get(), UINT64_MAX);
    EXPECT_THAT(due, ElementsAre("late"));
    EXPECT_GT(timers->next("late"), now() + 58 * kSecond);
    EXPECT_LE(timers->next("late"), now() + 60 * kSecond);
    EXPECT_EQ(timers->next("unknown"), 0u);
}

TEST_F(Ticking, WhatStaysAsItWasKeepsItsTurnAndWhatIsGoneHasNone) {
    const auto kept = every(60s, now() - 30 * kSecond);
    timers->keep({{"kept", kept}, {"gone", every(1s, now() - 100 * kSecond)}});
    const auto before = timers->next("kept");
    timers->keep({{"kept", {kept.beat, now()}}});
    EXPECT_LE(std::max(timers->next("kept"), before) - std::min(timers->next("kept"), before), kSecond);
    turn(loop);
    EXPECT_THAT(due, testing::IsEmpty());
    EXPECT_EQ(timers->next("gone"), 0u);
}

}  // namespace
}  // namespace recap::test
