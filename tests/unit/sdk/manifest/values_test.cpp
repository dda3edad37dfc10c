// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/values.hpp"

#include <gtest/gtest.h>

#include "sdk/manifest/capabilities.hpp"

using namespace recap::manifest;
using namespace std::chrono_literals;

TEST(Values, Sizes) {
    EXPECT_EQ(*parseSize("64M"), 64u << 20);
    EXPECT_EQ(*parseSize("1T"), 1ull << 40);
    EXPECT_EQ(*parseSize("4096"), 4096u);
    for (const auto* wrong :
         {"", "M", "0", "0K", "-1", "1.5M", "64m", "64MB", "64 M", " 64M", "064M", "0x10", "99999999T", "18446744073709551616"})
        EXPECT_FALSE(parseSize(wrong)) << wrong;
    EXPECT_EQ(formatSize(64u << 20), "64 MiB");
    EXPECT_EQ(formatSize(1000), "1000 bytes");
    EXPECT_EQ(formatSize(1536), "1536 bytes");
}

TEST(Values, DurationsAsSystemdReadsThem) {
    EXPECT_EQ(*parseDuration("30s"), 30s);
    EXPECT_EQ(*parseDuration("1h 30min"), 90min);
    EXPECT_EQ(*parseDuration("1h30m"), 90min);
    EXPECT_EQ(*parseDuration("2 days"), 48h);
    EXPECT_EQ(*parseDuration("7d"), 168h);
    EXPECT_EQ(*parseDuration("1.5s"), 1500ms);
    EXPECT_EQ(*parseDuration("100ms"), 100ms);
    EXPECT_EQ(*parseDuration("90"), 90s);
    EXPECT_EQ(*parseDuration("20µs"), 20us);
    for (const auto* wrong :
         {"", " ", "s", "0", "0s", "-1s", "+1s", "1e3s", "infinity", "30x", "1h,2s", "0x10s", "99999999999y", "nan", "1..2s"})
        EXPECT_FALSE(parseDuration(wrong)) << wrong;
    EXPECT_EQ(formatDuration(90min), "1h 30min");
    EXPECT_EQ(formatDuration(1500ms), "1s 500ms");
}

TEST(Values, UsersAreNumbersOrTheTwoWords) {
    EXPECT_EQ(parseUser("target")->kind, User::Kind::Target);
    EXPECT_EQ(parseUser("root")->kind, User::Kind::Root);
    const auto ids = parseUser("1000:4294967294");
    ASSERT_TRUE(ids);
    EXPECT_EQ(ids->uid, 1000u);
    EXPECT_EQ(ids->gid, 4294967294u);
    for (const auto* wrong : {"",
                              "0x0",
                              "1:",
                              ":1",
                              "-1",
                              "-1:0",
                              " 0",
                              "0 :0",
                              "4294967296",
                              "4294967295:0",
                              "0:4294967296",
                              "1000:a",
                              "1000",
                              "nobody",
                              "nobody:nogroup",
                              "01:1",
                              "1:1:1",
                              "1:1 ",
                              "+1:1",
                              "Root",
                              "TARGET"})
        EXPECT_FALSE(parseUser(wrong)) << wrong;
}

TEST(Values, Requirements) {
    EXPECT_TRUE(checkRequirement("recap >= 0.1", "0.1.0"));
    EXPECT_TRUE(checkRequirement("recap < 0.10", "0.9.3"));
    EXPECT_TRUE(checkRequirement("recap = 1", "1.0.0"));
    EXPECT_FALSE(checkRequirement("recap > 0.1", "0.1.0"));
    EXPECT_FALSE(checkRequirement("recap >= 99", "0.1.0"));
    EXPECT_EQ(checkRequirement("recap >= 99", "0.1.0").error().message, "needs recap >= 99, this is recap 0.1.0");
    for (const auto* wrong : {"", "recap", "recap>=0.1", "recap ~ 0.1", "recap >= x", "recap >= 0.1 0.2", "docker >= 1"})
        EXPECT_FALSE(checkRequirement(wrong, "0.1.0")) << wrong;
}

TEST(Values, NamesPathsAndReferences) {
    EXPECT_EQ(checkName("tcp-dump2"), "");
    EXPECT_EQ(checkName(std::string(63, 'a')), "");
    for (const auto& wrong : {std::string(), std::string(64, 'a'), std::string("Tcp"), std::string("a/b"), std::string("-a"),
                              std::string("a.b"), std::string("..")})
        EXPECT_NE(checkName(wrong), "") << wrong;
    EXPECT_EQ(checkPath("/"), "");
    EXPECT_EQ(checkPath("/var/log"), "");
    for (const auto* wrong : {"", "var", "/a/../b", "/..", "//a", "/a//b", "/a/", "/./a"}) EXPECT_NE(checkPath(wrong), "") << wrong;
    const std::string digest = "@sha256:" + std::string(64, 'a');
    for (const auto& right :
         {std::string("recap/tcpdump:1.2.0"), "recap/tcpdump:1.2.0" + digest, std::string("host:5000/a/b"), "a" + digest})
        EXPECT_EQ(checkReference(right), "") << right;
    for (const auto& wrong :
         {std::string(), std::string("a b"), std::string("../a"), std::string("a@sha256:12"), "a@" + std::string(64, 'a'),
          std::string("a:"), std::string("a//b"), "a@sha256:" + std::string(64, 'G'), digest})
        EXPECT_NE(checkReference(wrong), "") << wrong;
    EXPECT_NE(checkEnvName("RECAP_RUN_ID"), "");
    EXPECT_NE(checkEnvName("A=B"), "");
    EXPECT_EQ(checkEnvName("LC_ALL"), "");
}

TEST(Values, CalendarsAreNoUnitFiles) {
    for (const auto* right :
         {"daily", "*:0/15", "Mon..Fri *-*-* 06:30:00 America/Port-au-Prince", "*-*~03", "2026-01-01 00:00:00.5 UTC", "Mon,Tue *:*:0/10"})
        EXPECT_EQ(checkCalendar(right), "") << right;
    for (const auto& wrong : {std::string(), std::string("daily "), std::string(" daily"), std::string("%h"), std::string("a\nb"),
                              std::string("a;b"), std::string("a\\"), std::string("@0"), std::string("[Timer]"), std::string(201, 'a')})
        EXPECT_NE(checkCalendar(wrong), "") << wrong;
}

TEST(Values, CapabilitiesByNumber) {
    EXPECT_EQ(capabilityNames().size(), kCapabilities);
    EXPECT_EQ(capabilityNumber("CAP_CHOWN"), 0u);
    EXPECT_EQ(capabilityNumber("CAP_NET_RAW"), 13u);
    EXPECT_EQ(capabilityNumber("CAP_SYS_PTRACE"), 19u);
    EXPECT_EQ(capabilityNumber("CAP_SYS_ADMIN"), 21u);
    EXPECT_EQ(capabilityNumber("CAP_CHECKPOINT_RESTORE"), 40u);
    EXPECT_EQ(capabilityNumber("cap_chown"), std::nullopt);
    EXPECT_EQ(capabilityNames((1ull << 13) | (1ull << 63)), (std::vector<std::string>{"CAP_NET_RAW", "CAP_63"}));
}
