// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>
#include <recap/proc.hpp>

#include "tests/support/proc.hpp"

namespace recap::test {
namespace {

TEST(PluginProc, TheStartTimeIsField22BehindANameOfAnyLetters) {
    const std::string fields = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n";
    EXPECT_EQ(plugin::startTimeIn("7 (sleep)" + fields), 4711u);
    EXPECT_EQ(plugin::startTimeIn("7 (a) b (c) 1 2)" + fields), 4711u);
    EXPECT_EQ(plugin::startTimeIn("7 (sleep) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n"), 0u) << "it has ended";
    for (const char* broken : {"", "7 (sleep", "7 (sleep)", "7 (sleep) S 1 2", "7 (sleep)   "}) EXPECT_EQ(plugin::startTimeIn(broken), 0u);
}

TEST(PluginProc, ACgroupIsKnownByTheHierarchyThatSaysMost) {
    EXPECT_EQ(plugin::knownCgroup("4:memory:/a\n3:pids:/b\n1:name=systemd:/c\n0::/d\n"), "/d");
    EXPECT_EQ(plugin::knownCgroup("4:memory:/a\n3:pids:/b\n1:name=systemd:/c\n0::/\n"), "/b");
    EXPECT_EQ(plugin::knownCgroup("4:memory:/a\n1:name=systemd:/c\n"), "/c");
    EXPECT_EQ(plugin::knownCgroup("4:memory:/a:b\n"), "/a:b");
    for (const char* broken : {"", "\n\n", "4", "4:memory", "0::/\n"}) EXPECT_EQ(plugin::knownCgroup(broken), "/");
}

TEST(PluginProc, OfAProcessBothAreAsTheKernelSays) {
    EXPECT_EQ(plugin::startTimeOf(::getpid()), processOf(::getpid())->startTime);
    EXPECT_NE(processOf(::getpid())->cgroups.find(plugin::cgroupOf(::getpid())), std::string::npos);
    EXPECT_EQ(plugin::startTimeOf(0x7fffffff), 0u);
    EXPECT_EQ(plugin::cgroupOf(0x7fffffff), "");
    EXPECT_TRUE(plugin::hasCgroupOf(::getpid(), plugin::cgroupOf(::getpid())));
    EXPECT_FALSE(plugin::hasCgroupOf(::getpid(), std::string(64, 'f')));
    EXPECT_FALSE(plugin::hasCgroupOf(::getpid(), ""));
    EXPECT_FALSE(plugin::hasCgroupOf(0x7fffffff, "/"));
}

}  // namespace
}  // namespace recap::test
