// SPDX-License-Identifier: Apache-2.0
// recap-compile-ceiling from outside: the file it leaves, and what the launcher reads from it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "daemon/launcher/ceiling.hpp"
#include "sdk/manifest/capabilities.hpp"

using namespace recap::launcher;
using testing::HasSubstr;

namespace {

class CompileCeiling : public testing::Test {
protected:
    CompileCeiling() {
        std::string pattern = (std::filesystem::temp_directory_path() / "recap-ceiling-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
    }
    ~CompileCeiling() override { std::filesystem::remove_all(folder_); }

    // Its exit status; what it says is in errors_.
    int compile(const std::string& out = "") {
        const std::string program = std::string(std::getenv("RECAP_BIN_DIR")) + "/recap-compile-ceiling ";
        const std::string errors = (folder_ / "errors").string();
        const int status = std::system(
            (program + (folder_ / "in.toml").string() + " " + (out.empty() ? (folder_ / "out").string() : out) + " 2>" + errors).c_str());
        errors_ = read("errors");
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    int compileText(const std::string& text) {
        std::ofstream(folder_ / "in.toml") << text;
        return compile();
    }
    std::string read(const std::string& name) {
        std::ifstream file(folder_ / name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    Ceiling ceiling() {
        const auto decoded = decodeCeiling(read("out"));
        EXPECT_TRUE(decoded) << decoded.error().message;
        return decoded.value_or(Ceiling{});
    }

    std::filesystem::path folder_;
    std::string errors_;
};

}  // namespace

TEST_F(CompileCeiling, WithoutAFileTheDefaults) {
    ASSERT_EQ(compile(), 0) << errors_;
    EXPECT_EQ(read("out"), encodeCeiling(Ceiling{}));
    ASSERT_EQ(compileText(""), 0) << errors_;
    EXPECT_EQ(read("out"), encodeCeiling(Ceiling{}));
}

TEST_F(CompileCeiling, EveryKeyReachesTheLauncher) {
    ASSERT_EQ(compileText(R"(
namespaces = ["net", "uts"]
host-namespaces = ["pid", "net", "time"]
processes = ["observe"]
views = ["read-only", "write"]
writes = ["/var/log"]
capabilities = ["CAP_NET_RAW"]
watch = ["oom", "file"]
freeze = true
root-user = true
limits = "best-effort"
estate-keep = "10min"
estate-max = "2G"
[max]
memory = "1G"
cpu = 1.5
pids = 10
scratch = "3M"
timeout = "1h"
grace = "7s"
artifacts = "4M"
log = "5M"
open-files = 99
runs = 3
)"),
              0)
        << errors_;
    const Ceiling c = ceiling();
    EXPECT_EQ(c.namespaces, std::uint32_t{kNsNet | kNsUts});
    EXPECT_EQ(c.hostNamespaces, std::uint32_t{kNsPid | kNsNet | kNsTime});
    EXPECT_EQ(c.processes, 0b011u) << "none is always there";
    EXPECT_EQ(c.views, 0b1011u);
    EXPECT_THAT(c.writes, testing::ElementsAre("/var/log"));
    EXPECT_EQ(c.capabilities, 1ull << *recap::manifest::capabilityNumber("CAP_NET_RAW"));
    EXPECT_EQ(c.watch, 0b101u);
    EXPECT_TRUE(c.freeze);
    EXPECT_TRUE(c.rootUser);
    EXPECT_EQ(c.limits, LimitsMode::BestEffort);
    EXPECT_EQ(c.estateKeepUsec, 600'000'000u);
    EXPECT_EQ(c.estateMax, 2ull << 30);
    EXPECT_EQ(c.maxMemory, 1ull << 30);
    EXPECT_EQ(c.maxCpuMilli, 1500u);
    EXPECT_EQ(c.maxPids, 10u);
    EXPECT_EQ(c.maxScratch, 3ull << 20);
    EXPECT_EQ(c.maxTimeoutUsec, 3'600'000'000u);
    EXPECT_EQ(c.maxGraceUsec, 7'000'000u);
    EXPECT_EQ(c.maxArtifacts, 4ull << 20);
    EXPECT_EQ(c.maxLog, 5ull << 20);
    EXPECT_EQ(c.noFile, 99u);
    EXPECT_EQ(c.maxRuns, 3u);
}

TEST_F(CompileCeiling, NothingMayBeWatchedWhereNothingIsNamed) {
    EXPECT_EQ(Ceiling{}.watch, 0b111u);
    ASSERT_EQ(compileText("watch = []\n"), 0) << errors_;
    EXPECT_EQ(ceiling().watch, 0u);
    EXPECT_EQ(compileText("watch = [\"files\"]\n"), 1);
    EXPECT_THAT(errors_, HasSubstr("in.toml:1:10: watch: 'files' is not one of"));
}

TEST_F(CompileCeiling, AWrongTextLeavesTheOldFile) {
    ASSERT_EQ(compileText("[max]\npids = 7\n"), 0);
    EXPECT_EQ(compileText("namespaces = [\"mnt\"]\n[max]\npids = 0\nmemroy = \"1G\"\n"), 1);
    EXPECT_THAT(errors_, HasSubstr("in.toml:1:15: namespaces: 'mnt' is not one of"));
    EXPECT_THAT(errors_, HasSubstr("in.toml:3:8: max.pids: 0 is out of range"));
    EXPECT_THAT(errors_, HasSubstr("in.toml:4:1: max.memroy: unknown key; did you mean 'memory'?"));
    EXPECT_EQ(ceiling().maxPids, 7u);
}

TEST_F(CompileCeiling, SomeOfTheHostsNamespacesAreNobodysToAllow) {
    for (const char* never : {"mnt", "user", "cgroup"}) {
        EXPECT_EQ(compileText(std::string("host-namespaces = [\"net\", \"") + never + "\"]\n"), 1);
        EXPECT_THAT(errors_, HasSubstr("in.toml:1:27: host-namespaces: the host's " + std::string(never) + " namespace is never joined"));
    }
    EXPECT_EQ(compileText("host-namespaces = [\"network\"]\n"), 1);
    EXPECT_THAT(errors_, HasSubstr("'network' is not one of pid, net, ipc, uts, time"));
    ASSERT_EQ(compileText("host-namespaces = []\n"), 0);
    EXPECT_EQ(read("out"), encodeCeiling(Ceiling{})) << "as by default";
    for (const std::uint32_t never : {kNsMnt, kNsUser, kNsCgroup}) {
        Ceiling forged;
        forged.hostNamespaces = kNsNet | never;
        EXPECT_FALSE(decodeCeiling(encodeCeiling(forged))) << "not by a file of somebody else's making either";
    }
}

TEST_F(CompileCeiling, WritesAFileThatOnlyItsOwnerChanges) {
    ASSERT_EQ(compile(), 0);
    struct stat file {};
    ASSERT_EQ(::stat((folder_ / "out").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 07777, 0644u);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2) << "out and errors, nothing beside them";
}

TEST_F(CompileCeiling, WritesToStandardOutputWhenAsked) {
    ASSERT_EQ(compile("- >" + (folder_ / "out").string()), 0) << errors_;
    EXPECT_EQ(read("out"), encodeCeiling(Ceiling{}));
    std::filesystem::create_directory(folder_ / "in.toml");
    EXPECT_EQ(compile(), 1);
    EXPECT_THAT(errors_, HasSubstr("is not a regular file"));
}
