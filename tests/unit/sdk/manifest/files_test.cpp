// SPDX-License-Identifier: Apache-2.0
// Profiles, the ceiling and settings as text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sdk/manifest/ceiling.hpp"
#include "sdk/manifest/profile.hpp"
#include "sdk/manifest/settings.hpp"

using namespace recap::manifest;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

namespace {

constexpr std::string_view kProfile = R"([profile]
name = "p"
[allow]
namespaces = ["net"]
processes = ["observe"]
views = ["read-only"]
users = ["target", "ids"]
capabilities = ["CAP_NET_RAW"]
[syscalls]
groups = ["@basic-io"]
[syscalls.max]
allow = ["mount"]
[limits]
memory = "1M"
cpu = 0.5
pids = 1
scratch = "1M"
timeout = "1s"
log = "1K"
[limits.max]
memory = "2M"
artifacts = "3M"
)";

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
    std::string result(text);
    return result.replace(result.find(what), what.size(), with);
}

std::vector<std::string> texts(const Diagnostics& diagnostics) {
    std::vector<std::string> result;
    for (const auto& diagnostic : diagnostics) result.push_back(diagnostic.text());
    return result;
}

}  // namespace

TEST(ProfileReader, ReadsAProfile) {
    const auto read = readProfile(kProfile, "p.toml");
    ASSERT_TRUE(read) << join(read.diagnostics);
    const Profile& p = *read.value;
    EXPECT_EQ(p.namespaces, 2u);
    EXPECT_EQ(p.processes, 0b011u);
    EXPECT_EQ(p.views, 0b011u);
    EXPECT_TRUE(p.targetUser && p.otherUsers && !p.rootUser);
    EXPECT_EQ(p.capabilities, 1ull << 13);
    EXPECT_EQ(p.onViolation, 1u) << "the default is always allowed";
    EXPECT_THAT(p.most.allow, ElementsAre("mount"));
    EXPECT_EQ(p.limits.memory, 1u << 20);
    EXPECT_EQ(p.max.memory, 2u << 20);
    EXPECT_EQ(p.max.scratch, 1u << 20) << "what is missing is as the default";
    EXPECT_EQ(p.maxArtifacts, 3u << 20);
}

TEST(ProfileReader, SaysWhatIsWrong) {
    EXPECT_THAT(texts(readProfile(replaced(kProfile, "namespaces", "namespace"), "p").diagnostics),
                ElementsAre(HasSubstr("p:4:1: allow.namespace: unknown key; did you mean 'namespaces'?")));
    EXPECT_THAT(texts(readProfile(replaced(kProfile, "memory = \"2M\"", "memory = \"1K\""), "p").diagnostics),
                ElementsAre(HasSubstr("limits.max.memory: the most is less than")));
    EXPECT_THAT(texts(readProfile(replaced(kProfile, "pids = 1\n", ""), "p").diagnostics), ElementsAre(HasSubstr("limits.pids: missing")));
    EXPECT_THAT(texts(readProfile(replaced(kProfile, "[\"target\", \"ids\"]", "[]"), "p").diagnostics),
                ElementsAre(HasSubstr("allow.users: needs at least one of")));
    EXPECT_EQ(readProfile("", "p").diagnostics.size(), 4u);
}

TEST(CeilingReader, LeavesWhatIsMissing) {
    const auto empty = readCeiling("", "c");
    ASSERT_TRUE(empty);
    EXPECT_FALSE(empty.value->namespaces || empty.value->maxMemory || empty.value->rootUser || empty.value->bestEffortLimits);
    const auto read = readCeiling("namespaces = []\nlimits = \"enforced\"\n", "c");
    ASSERT_TRUE(read);
    EXPECT_EQ(read.value->namespaces, 0u);
    EXPECT_EQ(read.value->bestEffortLimits, false);
    EXPECT_EQ(texts(readCeiling("limits = \"none\"\nroot = true\n[max]\nmemory = \"unlimited\"\n", "c").diagnostics).size(), 3u);
}

TEST(SettingsReader, PassesAPluginsKeysOn) {
    const auto read = readSettings(
        {{"a.toml",
          "[plugins.podman]\nplugin = \"docker\"\nendpoint = \"unix:///a\"\nretries = 3\nslow = true\nratio = 0.5\nlist = [\"x\", \"y\"]\n"
          "[plugins.podman.tls]\nca = \"/c\"\n"}});
    ASSERT_TRUE(read) << join(read.diagnostics);
    const auto& podman = read.value->plugins.at("podman");
    EXPECT_EQ(podman.plugin, "docker");
    EXPECT_THAT(podman.pairs(), ElementsAre(Pair("endpoint", "unix:///a"), Pair("list", "x"), Pair("list", "y"), Pair("ratio", "0.5"),
                                            Pair("retries", "3"), Pair("slow", "true"), Pair("tls.ca", "/c")));
}

TEST(SettingsReader, LaterTextsReplaceKeys) {
    const auto read = readSettings({{"a", "policies = [\"x\"]\n[plugins.d]\nendpoint = \"1\"\nother = \"2\"\n[runs]\ngrace = \"1s\"\n"},
                                    {"b", "[plugins.d]\nendpoint = \"3\"\n[runs]\ngrace = \"2s\"\n"}});
    ASSERT_TRUE(read);
    EXPECT_THAT(read.value->plugins.at("d").pairs(), ElementsAre(Pair("endpoint", "3"), Pair("other", "2")));
    EXPECT_EQ(read.value->plugins.at("d").plugin, "d");
    EXPECT_EQ(read.value->grace, 2s);
    EXPECT_THAT(read.value->policies, ElementsAre("x"));
}

TEST(SettingsReader, ReadsLimits) {
    const auto read = readSettings({{"a", "[limits]\nruns = 8\nqueue = 9\n"}, {"b", "[limits]\nruns-per-target = 2\nruns = 10\n"}});
    ASSERT_TRUE(read) << join(read.diagnostics);
    EXPECT_EQ(read.value->runs, 10u);
    EXPECT_EQ(read.value->runsPerTarget, 2u);
    EXPECT_EQ(read.value->queue, 9u);
    EXPECT_EQ(readSettings({{"a", ""}}).value->runs, std::nullopt);
    const auto wrong = readSettings({{"a", "[limits]\nruns = 0\nruns-per-target = \"2\"\nqueue = 1000000\nrun = 1\n"}});
    EXPECT_THAT(texts(wrong.diagnostics), ElementsAre(HasSubstr("limits.runs"), HasSubstr("limits.runs-per-target"),
                                                      HasSubstr("limits.queue"), HasSubstr("did you mean 'runs'?")));
}

TEST(SettingsReader, ReadsTenants) {
    const auto read =
        readSettings({{"a",
                       "[[tenants.target]]\ntenant = \"shop\"\nbackend = \"docker\"\ncgroup = \"/shop.slice\"\nroot-uid = 100000\n"
                       "[[tenants.caller]]\ngroup = \"shop-admins\"\ntenants = [\"shop\"]\n"}});
    ASSERT_TRUE(read) << join(read.diagnostics);
    EXPECT_EQ(read.value->tenantTargets.at(0).rootUid, 100000u);
    EXPECT_EQ(read.value->tenantCallers.at(0).group, "shop-admins");
    const auto wrong =
        readSettings({{"a", "[[tenants.target]]\ntenant = \"shop\"\n[[tenants.caller]]\nuser = \"a\"\ngroup = \"b\"\ntenants = []\n"}});
    EXPECT_THAT(texts(wrong.diagnostics),
                ElementsAre(HasSubstr("needs at least one of backend, cgroup, root-uid"), HasSubstr("exactly one of user and group")));
}

TEST(SettingsReader, NamesTheFileThatIsWrong) {
    const auto read = readSettings(
        {{"a", "[plugin.d]\n"}, {"b", "x\n"}, {"c", "[plugins.D]\n[plugins.e]\nwhen = 2020-01-01\nlist = [[1]]\ntext = \"a\\nb\"\n"}});
    EXPECT_FALSE(read);
    EXPECT_THAT(texts(read.diagnostics),
                ElementsAre(HasSubstr("a:1:2: plugin: unknown key; did you mean 'plugins'?"), HasSubstr("b:"),
                            HasSubstr("c:1:10: plugins.D: 'D' is not a name"),
                            HasSubstr("plugins.e.when: expected a string, a number, or true or false, found a date or time"),
                            HasSubstr("plugins.e.list"), HasSubstr("control character")));
}
