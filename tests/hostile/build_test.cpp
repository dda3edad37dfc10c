// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Build, WhatShipsCannotBeWeakened) {
    for (const char* word : {"RECAP_TEST_WEAKEN", "RECAP_TEST_FAULTS"}) {
        for (const char* program : {"recap-launcher", "recap-collect"})
            EXPECT_EQ(readFile(binDir() / program).find(word), std::string::npos) << program;
        // The same look at the other build finds it: it is one that can.
        EXPECT_NE(readFile(binDir().parent_path() / "tests/recap-launcher-weakened").find(word), std::string::npos);
    }
}

}  // namespace
}  // namespace recap::test
