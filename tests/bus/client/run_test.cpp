// SPDX-License-Identifier: Apache-2.0
#include <pty.h>
#include <unistd.h>

#include <csignal>

#include "tests/bus/client/peer.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

using RunVerb = PeerTest;

TEST_F(RunVerb, PassesBytesAndStatusThroughUntouched) {
    auto command = peer.command({"run", "sh", "web", "--", "cat; printf 'a\\000\\377' ; echo oops >&2; exit 7"});
    command.input = std::string("in\0put", 6);
    const auto result = run(command);
    EXPECT_EQ(result.status, 7) << result.all();
    EXPECT_EQ(result.out, std::string("in\0puta\0\xff", 9));
    EXPECT_EQ(result.err, "oops\n");
}

TEST_F(RunVerb, SaysNothingOfItsOwnWhenAllIsWell) {
    const auto result = recapctl({"run", "sh", "web"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out + result.err, "");
}

TEST_F(RunVerb, MovesMoreThanAPipeHolds) {
    const auto result = recapctl({"run", "sh", "web", "--", "head -c 3000000 /dev/zero"});
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out.size(), 3'000'000U);
}

TEST_F(RunVerb, EndsWithTheSignalsStatus) { EXPECT_EQ(recapctl({"run", "sh", "web", "--", "kill -11 $$"}).status, 128 + 11); }

TEST_F(RunVerb, TimesOutWith124) {
    const auto result = recapctl({"run", "--timeout", "50ms", "sh", "web", "--", "exec sleep 60"});
    EXPECT_EQ(result.status, 124) << result.all();
    EXPECT_THAT(result.err, HasSubstr("timed-out"));
}

TEST_F(RunVerb, SaysWhyThereWasNoRun) {
    const auto denied = recapctl({"run", "denied", "web"});
    EXPECT_EQ(denied.status, 125);
    EXPECT_THAT(denied.err, HasSubstr("denied: capability CAP_SYS_ADMIN: the ceiling's key"));
    const auto refused = recapctl({"run", "refused", "web"});
    EXPECT_EQ(refused.status, 125);
    EXPECT_EQ(refused.err, "recapctl: uid 0 may not run capsule 'refused'\n");
    EXPECT_EQ(recapctl({"run", "gone", "web"}).status, 125);
    EXPECT_EQ(recapctl({"run", "not-started", "web", "--", "127"}).status, 127);
    EXPECT_EQ(recapctl({"run", "not-started", "web", "--", "126"}).status, 126);
    EXPECT_EQ(recapctl({"run", "not-started", "web", "--", "0"}).status, 125);
}

TEST_F(RunVerb, NoticesThatTheDaemonWentAway) {
    const auto result = recapctl({"run", "vanish", "web"});
    EXPECT_EQ(result.status, 125) << result.all();
    EXPECT_THAT(result.err, HasSubstr("recapd went away"));
}

TEST_F(RunVerb, NoticesThatTheDaemonIsKilledLater) {
    Child child(peer.command({"run", "sh", "web", "--", "echo up; exec sleep 60"}));
    ASSERT_TRUE(child.waitForOutput("up\n", Deadline(kPatience)));
    peer.daemon().signal(SIGKILL);
    const auto result = child.wait(Deadline(kPatience));
    EXPECT_EQ(result.status, 125) << result.all();
    EXPECT_THAT(result.err, HasSubstr("recapd went away"));
}

TEST_F(RunVerb, StopsTheRunOnInterruptAndWaitsForItsEnd) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        Child child(peer.command({"run", "sh", "web", "--", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"}));
        ASSERT_TRUE(child.waitForOutput("up\n", Deadline(kPatience)));
        child.signal(signal);
        const auto result = child.wait(Deadline(kPatience));
        EXPECT_EQ(result.out, "up\nbye\n") << result.all();
        EXPECT_EQ(result.status, 3) << "its own, for it was given the time to choose one";
    }
}

TEST_F(RunVerb, KillsTheRunOnTheSecondInterrupt) {
    Child child(peer.command({"run", "sh", "web", "--", "trap 'echo no' TERM; echo up; while :; do sleep 0.05; done"}));
    ASSERT_TRUE(child.waitForOutput("up\n", Deadline(kPatience)));
    child.signal(SIGINT);
    ASSERT_TRUE(child.waitForOutput("no\n", Deadline(kPatience)));
    child.signal(SIGINT);
    const auto result = child.wait(Deadline(kPatience));
    EXPECT_EQ(result.status, 128 + 9) << result.all();
}

TEST_F(RunVerb, VerboseSaysPhasesAndEscapeOnStandardError) {
    const auto result = recapctl({"run", "-v", "sh", "web", "--", "echo out"});
    EXPECT_EQ(result.out, "out\n");
    EXPECT_THAT(result.err, HasSubstr("phases (ms): planned 0.50, attached 2.00, escaped 5.50, total 8.00\n"));
    EXPECT_THAT(result.err, HasSubstr("escape: clean\n"));
}

TEST_F(RunVerb, JsonIsOneObjectWithTheOutputInIt) {
    const auto result = recapctl({"run", "--json", "sh", "web", "--", "echo out; exit 3"});
    EXPECT_EQ(result.status, 3);
    const auto object = json(result);
    EXPECT_EQ(object.at("outcome"), "failed");
    EXPECT_EQ(object.at("exit_code"), 3);
    EXPECT_EQ(object.at("escape"), "clean");
    EXPECT_EQ(object.at("stdout"), "out\n");
    EXPECT_EQ(object.at("phases").at("escaped"), 8000);
    const auto large = json(recapctl({"run", "--json", "sh", "web", "--", "head -c 100000 /dev/zero | tr '\\0' x"}));
    EXPECT_EQ(large.at("stdout").get<std::string>().size(), 100'000U) << "asked for piece by piece";
    const auto denied = recapctl({"run", "--json", "denied", "web"});
    EXPECT_EQ(denied.status, 125);
    EXPECT_EQ(json(denied).at("error").at("code"), "Denied");
    EXPECT_EQ(denied.err, "");
}

TEST_F(RunVerb, DetachedPrintsTheIdAndLeaves) {
    const auto result = recapctl({"run", "--detach", "sh", "web", "--", "echo kept"});
    EXPECT_EQ(result.status, 0) << result.all();
    EXPECT_THAT(result.out, MatchesRegex("[0-9A-Z]{26}\n"));
    const std::string id = trimmed(result.out);
    ASSERT_TRUE(waitUntil([&] { return json(recapctl({"show", id, "--json"})).value("state", "") == "finished"; }, Deadline(kPatience)));
    EXPECT_EQ(recapctl({"logs", id}).out, "kept\n");
}

TEST_F(RunVerb, CollectsArtifactsAfterwards) {
    const TempDir temp;
    const auto result = recapctl({"run", "-o", (temp.path() / "new/folder").string(), "sh", "web"});
    EXPECT_EQ(result.status, 0) << result.all();
    EXPECT_EQ(readFile(temp.path() / "new/folder/report.txt"), "hello");
    EXPECT_EQ(readFile(temp.path() / "new/folder/sub/capture.pcap"), "\xd4\xc3\xb2\xa1");
}

TEST_F(RunVerb, SaysWhenArtifactsCannotBeHadAndKeepsTheCapsulesStatus) {
    const TempDir temp;
    const auto hostile = recapctl({"run", "-o", (temp.path() / "out").string(), "sh", "hostile"});
    EXPECT_EQ(hostile.status, 125);
    EXPECT_THAT(hostile.err, HasSubstr("'../escape'"));
    EXPECT_FALSE(std::filesystem::exists(temp.path() / "escape"));
    const auto failed = recapctl({"run", "-o", (temp.path() / "out").string(), "sh", "short", "--", "exit 4"});
    EXPECT_EQ(failed.status, 4);
    EXPECT_THAT(failed.err, HasSubstr("5 of 999 bytes"));
}

TEST_F(RunVerb, RefusesArgumentsThatTheBusCannotCarry) {
    const auto result = recapctl({"run", "sh", "web", "--", "\xff"});
    EXPECT_EQ(result.status, 125) << result.all();
    EXPECT_THAT(result.err, HasSubstr("UTF-8"));
}

TEST_F(RunVerb, OnATerminalIsPumped) {
    int master = -1;
    const auto command =
        peer.command({"run", "sh", "web", "--", "test -t 0 || test -t 1 || echo no terminal here; read line; echo got $line; exit 5"});
    const pid_t pid = ::forkpty(&master, nullptr, nullptr, nullptr);
    if (pid == 0) {
        for (const auto& [name, value] : command.env) ::setenv(name.c_str(), value.c_str(), 1);
        std::vector<char*> argv;
        for (const auto& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        ::execv(argv[0], argv.data());
        ::_exit(99);
    }
    ASSERT_GT(pid, 0);
    const UniqueFd terminal(master);
    std::string seen;
    char buffer[4096];
    ssize_t size = 0;
    bool typed = false;
    while ((size = ::read(terminal.get(), buffer, sizeof buffer)) > 0) {
        seen.append(buffer, static_cast<std::size_t>(size));
        if (!typed && seen.find("no terminal here") != std::string::npos) typed = ::write(terminal.get(), "typed\n", 6) == 6;
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5) << status << seen;
    EXPECT_THAT(seen, HasSubstr("got typed"));
}

TEST(RunWithoutRecapd, SaysSo) {
    const PrivateBus bus;
    const auto result = run(Command{.argv = {(binDir() / "recapctl").string(), "run", "sh", "web"}, .env = bus.environment()});
    EXPECT_EQ(result.status, 125);
    EXPECT_THAT(result.err, HasSubstr("recapd is not running"));
}

}  // namespace
}  // namespace recap::test
