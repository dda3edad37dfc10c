// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

using ::testing::Not;

TEST(Build, WhatShipsCannotBeWeakened) {
    for (const char* word : {"RECAP_TEST_WEAKEN", "RECAP_TEST_FAULTS"})
        for (const auto& program : std::filesystem::directory_iterator(binDir())) {
            if (!program.is_regular_file()) continue;
            EXPECT_EQ(readFile(program.path()).find(word), std::string::npos) << program.path();
        }
    // The same look at the other builds finds it: they are ones that can.
    const auto weakened = [](const char* program) { return readFile(binDir().parent_path() / "tests" / program); };
    EXPECT_THAT(weakened("recap-launcher-weakened").find("RECAP_TEST_WEAKEN"), Not(std::string::npos));
    EXPECT_THAT(weakened("recap-launcher-weakened").find("RECAP_TEST_FAULTS"), Not(std::string::npos));
    EXPECT_THAT(weakened("recap-collect-weakened").find("RECAP_TEST_WEAKEN"), Not(std::string::npos));
}

// THREATS.md names every attack that is in this program.
TEST(Build, EveryAttackIsNamedWhereThreatsAreListed) {
    const std::string threats = readFile(sourceDir() / "THREATS.md");
    const auto tests = threats.find("### The tests");
    ASSERT_NE(tests, std::string::npos);
    const auto& all = *::testing::UnitTest::GetInstance();
    int attacks = 0;
    for (int i = 0; i < all.total_test_suite_count(); ++i) {
        const auto& suite = *all.GetTestSuite(i);
        const std::string threat = suite.name();
        if (threat.front() != 'T' || threat.find_first_not_of("0123456789", 1) != std::string::npos) continue;
        const auto line = threats.find("\n- " + threat + ":", tests), end = threats.find("\n- ", line + 1);
        for (int k = 0; k < suite.total_test_count(); ++k, ++attacks) {
            const auto named = threats.find("`" + std::string(suite.GetTestInfo(k)->name()) + "`", line);
            EXPECT_TRUE(line != std::string::npos && named < end) << threat << "." << suite.GetTestInfo(k)->name();
        }
    }
    EXPECT_GT(attacks, 30);
}

}  // namespace
}  // namespace recap::test
