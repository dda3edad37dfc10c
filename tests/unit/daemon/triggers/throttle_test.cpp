// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/throttle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace recap {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kSecond = 1'000'000;
const Throttle::Key kWeb{"scan", 0, "docker:web"};
const Throttle::Key kDb{"scan", 0, "docker:db"};

TEST(Throttle, OneInACooldownForEachTarget) {
    Throttle throttle;
    EXPECT_TRUE(throttle.pass(kWeb, 60 * kSecond, kSecond));
    EXPECT_TRUE(throttle.pass(kDb, 60 * kSecond, kSecond));
    EXPECT_FALSE(throttle.pass(kWeb, 60 * kSecond, 30 * kSecond));
    EXPECT_FALSE(throttle.pass(kWeb, 60 * kSecond, 61 * kSecond - 1));
    EXPECT_TRUE(throttle.pass(kWeb, 60 * kSecond, 61 * kSecond));
    EXPECT_TRUE(throttle.pass({"scan", 1, "docker:web"}, 60 * kSecond, 61 * kSecond)) << "another event of the same capsule";
}

TEST(Throttle, WhatStartedNothingIsCountedAndToldOnce) {
    Throttle throttle;
    EXPECT_FALSE(throttle.next());
    EXPECT_TRUE(throttle.pass(kWeb, 10 * kSecond, kSecond));
    for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(throttle.pass(kWeb, 10 * kSecond, 2 * kSecond + i));
    EXPECT_EQ(throttle.next(), 11 * kSecond);
    EXPECT_THAT(throttle.missed(11 * kSecond - 1), IsEmpty());
    const auto missed = throttle.missed(11 * kSecond);
    ASSERT_THAT(missed, SizeIs(1));
    EXPECT_EQ(missed[0].key, kWeb);
    EXPECT_EQ(missed[0].inCooldown, 10'000u);
    EXPECT_THAT(throttle.missed(11 * kSecond), IsEmpty());
    EXPECT_FALSE(throttle.next());
    EXPECT_EQ(throttle.size(), 0u) << "nothing is kept of what is over";
}

TEST(Throttle, WhatCameInACooldownIsCountedAfterIt) {
    Throttle throttle;
    EXPECT_EQ(throttle.until(kWeb), 0u);
    EXPECT_TRUE(throttle.pass(kWeb, 10 * kSecond, kSecond));
    EXPECT_EQ(throttle.until(kWeb), 11 * kSecond);
    EXPECT_THAT(throttle.missed(11 * kSecond), IsEmpty());
    throttle.came(kWeb, 0, 12 * kSecond);
    EXPECT_FALSE(throttle.next()) << "none is nothing to tell of";
    throttle.came(kWeb, 7, 12 * kSecond);
    EXPECT_EQ(throttle.next(), 13 * kSecond);
    EXPECT_TRUE(throttle.pass(kWeb, 10 * kSecond, 12 * kSecond)) << "it is over";
    const auto missed = throttle.missed(13 * kSecond);
    ASSERT_THAT(missed, SizeIs(1));
    EXPECT_EQ(missed[0].inCooldown, 7u);
}

TEST(Throttle, WhatStartedNothingBeginsNoCooldown) {
    Throttle throttle;
    EXPECT_TRUE(throttle.pass(kWeb, 10 * kSecond, kSecond));
    throttle.undo(kWeb);
    EXPECT_EQ(throttle.size(), 0u);
    EXPECT_TRUE(throttle.pass(kWeb, 10 * kSecond, kSecond));
    throttle.came(kWeb, 2, 2 * kSecond, "the second");
    throttle.undo(kWeb);
    EXPECT_EQ(throttle.missed(20 * kSecond).at(0).cause, "the second") << "what was counted is told";
}

TEST(Throttle, AStormPassesNoFasterThanTheRate) {
    Throttle throttle({.refillUsec = kSecond / 10, .burst = 50});
    std::size_t passed = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) passed += throttle.pass({"scan", 0, "docker:" + std::to_string(i)}, 0, kSecond + i * 1000);
    EXPECT_GE(passed, 59u);  // a second's
    EXPECT_LE(passed, 60u);
    std::uint64_t counted = 0;
    for (const auto& missed : throttle.missed(10 * kSecond)) counted += missed.overRate;
    EXPECT_EQ(counted, 1000 - passed);
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(throttle.pass(kWeb, 0, 20 * kSecond)) << "after a quiet time";
    EXPECT_FALSE(throttle.pass(kWeb, 0, 20 * kSecond));
}

TEST(Throttle, TheLastThatWasCutIsKnown) {
    Throttle throttle;
    for (const char* cause : {"first", "second", "third"}) throttle.pass(kWeb, 60 * kSecond, kSecond, cause);
    EXPECT_EQ(throttle.missed(61 * kSecond).at(0).cause, "third");
    throttle.pass(kWeb, kSecond, 62 * kSecond, "fourth");
    EXPECT_THAT(throttle.missed(70 * kSecond), IsEmpty());
}

TEST(Throttle, WhatCanWaitLeavesHalfOfTheRoom) {
    Throttle throttle({.refillUsec = kSecond, .burst = 10});
    std::size_t passed = 0;
    for (; throttle.hasRoom(kSecond); ++passed) EXPECT_TRUE(throttle.pass(kWeb, 0, kSecond));
    EXPECT_EQ(passed, 5u);
    EXPECT_TRUE(throttle.pass(kWeb, 0, kSecond));
    EXPECT_FALSE(throttle.hasRoom(2 * kSecond));
    EXPECT_TRUE(throttle.hasRoom(3 * kSecond));
}

TEST(Throttle, OnlySoManyAreToldApartAndTheOthersShareNoCooldown) {
    Throttle throttle({.refillUsec = kSecond / 100, .burst = 100, .keys = 10});
    const auto target = [](int i) { return Throttle::Key{"scan", 0, "docker:" + std::to_string(i)}; };
    std::size_t passed = 0;
    for (int i = 0; i < 1000; ++i) passed += throttle.pass(target(i), 60 * kSecond, kSecond);
    EXPECT_EQ(passed, 100u) << "what the rate lets by";
    EXPECT_LE(throttle.size(), 11u);
    EXPECT_FALSE(throttle.pass(target(0), 60 * kSecond, 3 * kSecond));
    EXPECT_TRUE(throttle.pass(target(50), 60 * kSecond, 3 * kSecond));
    EXPECT_EQ(throttle.until(target(50)), 0u);
    throttle.undo(target(50));
    std::uint64_t inCooldown = 0, overRate = 0;
    for (const auto& missed : throttle.missed(100 * kSecond)) inCooldown += missed.inCooldown, overRate += missed.overRate;
    EXPECT_EQ(inCooldown, 1u);
    EXPECT_EQ(overRate, 900u);
}

TEST(Throttle, WhatIsGoneIsToldAtOnce) {
    Throttle throttle;
    for (int i = 0; i < 3; ++i) {
        throttle.pass(kWeb, 60 * kSecond, kSecond);
        throttle.pass(kDb, 60 * kSecond, kSecond);
    }
    const auto gone = throttle.forgetTarget("docker:web");
    ASSERT_THAT(gone, SizeIs(1));
    EXPECT_EQ(gone[0].inCooldown, 2u);
    EXPECT_FALSE(throttle.pass(kWeb, 60 * kSecond, 2 * kSecond)) << "it may be back, and its cooldown goes on";
    EXPECT_THAT(throttle.forgetTarget("docker:web"), SizeIs(1));
    EXPECT_THAT(throttle.forgetCapsule("scan"), SizeIs(1));
    EXPECT_EQ(throttle.size(), 0u);
}

}  // namespace
}  // namespace recap
