// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/exit_status.hpp"

#include <gtest/gtest.h>

#include "sdk/client/recapctl/ulid.hpp"

namespace recapctl {
namespace {

int statusOf(std::string outcome, int code) { return exitStatus({std::move(outcome), code, {}}); }

TEST(ExitStatus, IsTheCapsulesOwn) {
    EXPECT_EQ(statusOf("succeeded", 0), 0);
    EXPECT_EQ(statusOf("failed", 7), 7);
    EXPECT_EQ(statusOf("failed", 125), 125);
    EXPECT_EQ(statusOf("killed", 128 + 15), 143);
    EXPECT_EQ(statusOf("killed", 3), 3) << "it was asked to stop, and chose its status";
}

TEST(ExitStatus, IsNeverSuccessWhereTheRunWasNone) {
    for (const char* outcome :
         {"failed", "killed", "timed-out", "target-gone", "denied", "not-started", "lost", "skipped", "of a later version"})
        EXPECT_NE(statusOf(outcome, 0), 0) << outcome;
}

TEST(ExitStatus, TellsRecapsFailuresFromTheCapsules) {
    EXPECT_EQ(statusOf("timed-out", 143), 124);
    for (const char* outcome : {"target-gone", "denied", "not-started", "lost", "skipped"}) EXPECT_EQ(statusOf(outcome, 0), 125) << outcome;
    EXPECT_EQ(statusOf("target-gone", 137), 125);
}

TEST(ExitStatus, IsAsAShellWhereTheProgramCannotBeStarted) {
    EXPECT_EQ(statusOf("not-started", 126), 126);
    EXPECT_EQ(statusOf("not-started", 127), 127);
    EXPECT_EQ(statusOf("not-started", 3), 125);
    EXPECT_EQ(statusOf("denied", 127), 125);
}

TEST(Successor, IsTheNextIdInOrder) {
    EXPECT_EQ(successor("01HZZZZZZZZZZZZZZZZZZZZZZ0"), "01HZZZZZZZZZZZZZZZZZZZZZZ1");
    EXPECT_EQ(successor("01hzzzzzzzzzzzzzzzzzzzzzzz"), "01J00000000000000000000000");
    EXPECT_EQ(successor("01HZZZZZZZZZZZZZZZZZZZZZZH"), "01HZZZZZZZZZZZZZZZZZZZZZZJ");  // there is no I
    EXPECT_EQ(successor("short"), "");
    EXPECT_EQ(successor("01HZZZZZZZZZZZZZZZZZZZZZZU"), "");
}

}  // namespace
}  // namespace recapctl
