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

}  // namespace
}  // namespace recap::test
