// SPDX-License-Identifier: Apache-2.0
// What people attach to containers for, continued: the tools that look at programs and files, and the one that moves them.
#include <unistd.h>

#include "tests/system/stack/engine_cases.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A volume that the container's user may write to.
TempDir ownData(const Place& place) {
    TempDir data{"recap-data", "/var/lib"};
    const uid_t user = (place.remapped ? Dockerd::kRemapped : 0) + 101;
    EXPECT_EQ(::chown(data.path().c_str(), user, user), 0);
    return data;
}

fs::path rootOf(pid_t pid) { return "/proc/" + std::to_string(pid) + "/root"; }

TEST_P(Cases, A3_GdbPrintsABacktraceWithSymbolsAndTheServerGoesOn) {
    installTool("c-gdb", kGdbBacktrace, tracing() + "view = \"read-only\"", "30s", "test/gdb:1");
    const json report = look("c-gdb", target());
    EXPECT_THAT(report.at("stdout").get<std::string>(),
                AllOf(HasSubstr("sigsuspend"), HasSubstr("ngx_master_process_cycle"), HasSubstr("detached")))
        << report.dump(2);
}

TEST_P(Cases, A5_LogrotateTurnsALogOfTheTargetsAndNoLineIsLost) {
    tool("c-logrotate", R"(["logrotate", "--force", "--state", "/tmp/state", "/etc/logrotate.conf"])",
         "processes = \"join\"\nview = \"write\"\nwrites = [\"/data\"]");
    const TempDir data = ownData(place());
    const fs::path log = data.path() / "app.log", older = data.path() / "app.log.1";
    const pid_t app = start(place(), "logger", "recap-logger:1", data.path());
    ASSERT_TRUE(waitUntil([&] { return fs::exists(log) && linesInOrder(readFile(log)) > 3; }, Deadline{kPatience}));
    const Outside outside = Stack::get().outside({app}, {rootOf(app) / "bin", rootOf(app) / "etc", rootOf(app) / "opt"});
    const Picture before = outside.look();
    look("c-logrotate", targetOf(place(), "logger"));
    ASSERT_TRUE(waitUntil([&] { return lines(readFile(log)).size() > 5; }, Deadline{kPatience})) << "it writes to the new file";
    const std::string first = readFile(older), second = readFile(log);
    EXPECT_GT(linesInOrder(first + second.substr(0, second.rfind('\n') + 1)), 8);
    EXPECT_THAT(leftBesideLogger(outside, before, app), IsEmpty()) << "the rest of its files is as before";
    end(place(), "logger");
}

TEST_P(Cases, A8_ThePackageListIsTheSame) {
    Stack::get().install(manifestOf("c-packages", "test/debian:1", "[\"/usr/bin/dpkg-query\"]",
                                    "[sandbox]\nview = \"read-only\"\n[limits]\ntimeout = \"30s\"\n"));
    std::vector<std::string> query{"/usr/bin/dpkg-query"}, ofTarget{"--admindir=/target/var/lib/dpkg"};
    for (auto* words : {&query, &ofTarget}) words->insert(words->end(), kPackageList.begin(), kPackageList.end());
    const TempDir data{"recap-data", "/var/lib"};
    start(place(), "debian", "recap-debian:1", data.path());
    const std::string expected = insideOf(place(), "debian", query);
    EXPECT_THAT(lines(expected), SizeIs(::testing::Gt(5u)));
    const json report = Stack::get().run("c-packages", targetOf(place(), "debian"), ofTarget);
    EXPECT_EQ(report.at("stdout"), expected) << report.dump(2);
    expectClean(report);
    end(place(), "debian");
}

TEST_P(Cases, A10_ChangedProgramsAndAddedFilesAreToldAgainstTheImagesList) {
    tool("c-integrity", R"(["busybox", "sh", "/check.sh"])", "view = \"read-only\"\ncapabilities = [\"CAP_DAC_READ_SEARCH\"]");
    const TempDir data = ownData(place());
    const auto check = [&](const char* name, const char* image) {
        const pid_t app = start(place(), name, image, data.path());
        const Outside outside = Stack::get().outside({app}, {rootOf(app) / "bin", rootOf(app) / "opt"});
        const Picture before = outside.look();
        auto checked = test::run(Command{.argv = {"recapctl", "run", "c-integrity", targetOf(place(), name)}, .input = asBuilt_});
        EXPECT_THAT(leftBesideLogger(outside, before, app), IsEmpty());
        end(place(), name);
        return checked;
    };
    if (place().remapped) {
        EXPECT_THAT(check("as-built", "recap-logger:1").err, HasSubstr("CAP_DAC_READ_SEARCH would count outside of it"));
        return;
    }
    const CommandResult clean = check("as-built", "recap-logger:1");
    EXPECT_EQ(clean.out, "") << clean.all();
    EXPECT_EQ(clean.err, "");
    EXPECT_EQ(check("tampered", "recap-tampered:1").out, "./opt/app.conf: FAILED\n./opt/private: FAILED\n./bin/miner: ADDED\n");
}

}  // namespace
}  // namespace recap::test
