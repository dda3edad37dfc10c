// SPDX-License-Identifier: Apache-2.0
// Who is left alone, and for how long; the time is what the test says.
#include "daemon/engine/health.hpp"

#include <gtest/gtest.h>

namespace recap {
namespace {

constexpr std::uint64_t kMinute = 60'000'000;
constexpr std::uint64_t kStart = 1'000'000 * kMinute;
constexpr std::uint64_t kRevision = 7;

RunRequest request(const std::string& batch = "", Trigger trigger = Trigger::Periodic) {
    RunRequest request;
    request.capsule = "scan";
    request.trigger = trigger;
    request.batch = batch;
    return request;
}

struct HealthTest : testing::Test {
    Health health;
    std::uint64_t now = kStart;

    bool bad(const std::string& batch = "", Trigger trigger = Trigger::Periodic) {
        return health.note(request(batch, trigger), Health::Word::Bad, kRevision, now);
    }
    void good(const std::string& batch = "", Trigger trigger = Trigger::Periodic) {
        health.note(request(batch, trigger), Health::Word::Good, kRevision, now);
    }
    std::uint64_t minutesAlone() {
        const auto until = health.of("scan", kRevision, now).backedOffUntil;
        return until == 0 ? 0 : (until - now) / kMinute;
    }
    bool mayRun(const std::string& batch = "", Trigger trigger = Trigger::Periodic) {
        return health.backedOffUntil(request(batch, trigger), kRevision, now) == 0;
    }
    void failTimes(int times) {
        for (int i = 0; i < times; ++i) bad();
    }
};

TEST_F(HealthTest, TheTenthFailureInARowLeavesItAloneForAMinute) {
    for (int i = 0; i < 9; ++i) EXPECT_FALSE(bad());
    EXPECT_TRUE(mayRun());
    EXPECT_TRUE(bad());
    EXPECT_EQ(health.of("scan", kRevision, now).failures, 10u);
    EXPECT_EQ(minutesAlone(), 1u);
    EXPECT_FALSE(mayRun());
    EXPECT_FALSE(mayRun("", Trigger::Event));
    EXPECT_TRUE(mayRun("", Trigger::OnDemand)) << "whoever asks for it has it";
    now += kMinute;
    EXPECT_TRUE(mayRun());
    EXPECT_EQ(minutesAlone(), 0u);
}

TEST_F(HealthTest, EachFurtherFailureDoublesItUpToAnHour) {
    failTimes(10);
    for (const std::uint64_t minutes : {2, 4, 8, 16, 32, 60, 60, 60}) {
        now += 60 * kMinute;
        EXPECT_TRUE(bad());
        EXPECT_EQ(minutesAlone(), minutes);
    }
}

TEST_F(HealthTest, WhatWasUnderWayThenMakesItNoLonger) {
    failTimes(10);
    EXPECT_FALSE(bad());
    EXPECT_EQ(minutesAlone(), 1u);
}

TEST_F(HealthTest, ASuccessStartsAnew) {
    failTimes(9);
    good();
    failTimes(9);
    EXPECT_TRUE(mayRun());
    bad();
    EXPECT_FALSE(mayRun());
    good("", Trigger::OnDemand);
    EXPECT_TRUE(mayRun()) << "somebody has seen it work";
    EXPECT_EQ(health.of("scan", kRevision, now).failures, 0u);
}

TEST_F(HealthTest, WhatSomebodyAskedForDoesNotCountAsAFailure) {
    for (int i = 0; i < 20; ++i) EXPECT_FALSE(bad("", Trigger::OnDemand));
    EXPECT_EQ(health.of("scan", kRevision, now).failures, 0u);
}

TEST_F(HealthTest, ABatchIsOneFailureAndNoneWhereOneTargetSucceeds) {
    for (int i = 0; i < 50; ++i) bad("first");
    EXPECT_EQ(health.of("scan", kRevision, now).failures, 1u);
    good("second");
    for (int i = 0; i < 50; ++i) bad("second");
    EXPECT_EQ(health.of("scan", kRevision, now).failures, 0u);
}

TEST_F(HealthTest, ABatchThatHasBegunGoesOnToItsEnd) {
    for (int i = 0; i < 9; ++i) bad("batch" + std::to_string(i));
    EXPECT_TRUE(mayRun("last"));
    EXPECT_TRUE(bad("last"));
    EXPECT_TRUE(mayRun("last"));
    EXPECT_FALSE(mayRun("next"));
    good("last");
    EXPECT_TRUE(mayRun("next"));
}

TEST_F(HealthTest, AnotherRevisionOfTheCapsuleStartsAnew) {
    failTimes(10);
    EXPECT_EQ(health.of("scan", kRevision + 1, now).failures, 0u);
    EXPECT_EQ(health.backedOffUntil(request(), kRevision + 1, now), 0u);
    EXPECT_EQ(minutesAlone(), 0u);
}

TEST_F(HealthTest, AClockThatWasSetBackMakesItNoLonger) {
    failTimes(10);
    now -= 100 * kMinute;
    EXPECT_TRUE(mayRun());
}

TEST(HealthWord, OnlyWhatTheCapsuleDidCounts) {
    struct {
        Outcome outcome;
        Errc error;
        bool stopped;
        bool outOfMemory;
        Health::Word word;
    } table[] = {
        {Outcome::Succeeded, Errc::None, false, false, Health::Word::Good},
        {Outcome::Failed, Errc::None, false, false, Health::Word::Bad},
        {Outcome::TimedOut, Errc::None, false, false, Health::Word::Bad},
        {Outcome::Denied, Errc::Denied, false, false, Health::Word::Bad},
        {Outcome::NotStarted, Errc::NotAdmitted, false, false, Health::Word::Bad},
        {Outcome::NotStarted, Errc::Unavailable, false, false, Health::Word::None},
        {Outcome::Killed, Errc::None, false, false, Health::Word::Bad},
        {Outcome::Killed, Errc::None, true, false, Health::Word::None},
        {Outcome::Killed, Errc::None, true, true, Health::Word::Bad},
        {Outcome::TargetGone, Errc::TargetGone, false, false, Health::Word::None},
        {Outcome::Lost, Errc::Unavailable, false, false, Health::Word::None},
        {Outcome::Skipped, Errc::None, false, false, Health::Word::None},
    };
    for (const auto& row : table) {
        RunReport report;
        report.outcome = row.outcome;
        report.error = row.error;
        report.outOfMemory = row.outOfMemory;
        EXPECT_EQ(Health::wordOf(report, row.stopped), row.word) << name(row.outcome);
    }
}

}  // namespace
}  // namespace recap
