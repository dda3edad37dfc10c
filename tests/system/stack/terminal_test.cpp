// SPDX-License-Identifier: Apache-2.0
// A32, recapctl at a terminal: a person's keys, size and patience, through the whole house and back.
#include <signal.h>

#include "tests/system/stack/sitting.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Terminal : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        Stack::get().install(manifestOf("t-tty", "test/payload:1", "[\"/payload\"]",
                                        "tty = true\n[sandbox]\nnamespaces = [\"net\"]\n[limits]\ntimeout = \"60s\"\n"));
        const TempDir folder;
        Rootfs tools{folder.path() / "tools"};
        tools.program("/usr/bin/busybox");
        Stack::get().importImage("test/shell:1", filesOf(tools.path()));
        Stack::get().install(manifestOf("t-shell", "test/shell:1", "[\"busybox\", \"sh\", \"-i\"]",
                                        "tty = true\n[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\nnamespaces = [\"net\"]\n"
                                        "processes = \"join\"\nview = \"read-only\"\n[limits]\ntimeout = \"60s\"\n"));
    }
    void TearDown() override { EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs(); }

    std::vector<std::string> words(std::vector<std::string> deed, std::vector<std::string> options = {"-t"}) const {
        std::vector<std::string> all{"run"};
        all.insert(all.end(), options.begin(), options.end());
        for (const std::string& word : {std::string("t-payload"), target(), std::string("--")}) all.push_back(word);
        all.insert(all.end(), deed.begin(), deed.end());
        return all;
    }
    static std::string newestRun() { return Stack::get().ctlJson({"runs", "--limit", "1"}).at("runs").at(0).at("id"); }
};

TEST_F(Terminal, IsThePayloadsAndAsItWasAfterwards) {
    Sitting sitting(words({"terminal"}));
    EXPECT_EQ(sitting.ends(), 0) << sitting.seen();
    EXPECT_THAT(sitting.seen(), HasSubstr("terminals: 1 1 1\r\nname: /dev/pts/0\r\nowner: 101 600\r\n"));
    EXPECT_THAT(sitting.seen(), HasSubstr("size: 30 90\r\n"));
    EXPECT_TRUE(sitting.isAsBefore());
    Sitting failing(words({"exit", "7"}));
    EXPECT_EQ(failing.ends(), 7) << failing.seen();
    EXPECT_TRUE(failing.isAsBefore());
    Sitting refused({"run", "-t", "no-such-capsule", target()});
    EXPECT_EQ(refused.ends(), 125) << refused.seen();
    EXPECT_TRUE(refused.isAsBefore());
}

TEST_F(Terminal, IsGivenAsTheManifestSaysToWhoSitsAtOneOnly) {
    Sitting sitting({"run", "t-tty", target(), "--", "terminal"});
    EXPECT_EQ(sitting.ends(), 0);
    EXPECT_THAT(sitting.seen(), HasSubstr("terminals: 1 1 1\r\n"));
    Sitting unasked({"run", "-T", "t-tty", target(), "--", "terminal"});
    EXPECT_EQ(unasked.ends(), 0);
    EXPECT_THAT(unasked.seen(), HasSubstr("terminals: 0 0 0\r\n"));
    EXPECT_THAT(Stack::get().ctl({"run", "t-tty", target(), "--", "terminal"}).out, HasSubstr("terminals: 0 0 0\n"));
}

TEST_F(Terminal, ControlsJobsAndFollowsTheSize) {
    Sitting job(words({"job"}));
    ASSERT_TRUE(job.sees("job 1\r\n")) << job.seen();
    ASSERT_TRUE(job.becomesRaw());
    job.type("\x1a");
    EXPECT_TRUE(job.sees("stopped 20\r\n")) << job.seen();
    job.type("fg\r");
    EXPECT_TRUE(job.sees("continued 1\r\n")) << job.seen();
    job.type("\x03");
    EXPECT_TRUE(job.sees("ended 2\r\n")) << job.seen();
    EXPECT_EQ(job.ends(), 0);
    EXPECT_TRUE(job.isAsBefore());
    Sitting sized(words({"sizes", "1"}));
    ASSERT_TRUE(sized.sees("size: 30 90\r\n")) << sized.seen();
    ASSERT_TRUE(sized.becomesRaw());
    sized.resize(41, 101);
    EXPECT_EQ(sized.ends(), 0);
    EXPECT_THAT(sized.seen(), HasSubstr("size: 41 101\r\n"));
}

// A shell in a container that has none. What is computed by it is not in what was typed.
TEST_F(Terminal, A32_AShellIsSatAtAndNothingOfItIsInTheTargetsLog) {
    const std::string before = nginx_->log();
    std::string run;
    {
        Sitting shell({"run", "t-shell", target()});
        ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
        run = newestRun();
        shell.type("echo secret-$((6 * 7)) >&2; busybox tty\r");
        EXPECT_TRUE(shell.sees("secret-42")) << shell.seen();
        EXPECT_TRUE(shell.sees("/dev/pts/0")) << shell.seen();
        shell.type("busybox ps\r");
        EXPECT_TRUE(shell.sees("nginx: master")) << shell.seen();
        shell.type("busybox sh -c 'echo sleeps-$((40 + 2)); exec busybox sleep 1000'\r");
        ASSERT_TRUE(shell.sees("sleeps-42")) << shell.seen();
        shell.type("\x03");
        ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
        shell.type("echo status-$?\r");
        EXPECT_TRUE(shell.sees("status-130")) << shell.seen();
        shell.resize(41, 101);
        shell.type("until [ \"$(busybox stty size)\" = '41 101' ]; do busybox usleep 10000; done; echo resized-$((40 + 2))\r");
        EXPECT_TRUE(shell.sees("resized-42")) << shell.seen();
        shell.signal(SIGKILL);
        EXPECT_EQ(shell.ends(), 128 + SIGKILL);
    }
    EXPECT_EQ(Stack::get().waitForEnd(run).at("outcome"), "killed");
    EXPECT_EQ(nginx_->log(), before);
}

TEST_F(Terminal, IsLeftByItsKeysAndComeBackTo) {
    Sitting first(words({"job"}));
    ASSERT_TRUE(first.sees("job 1\r\n")) << first.seen();
    ASSERT_TRUE(first.becomesRaw());
    const std::string run = newestRun();
    first.type("\x10\x11");
    EXPECT_EQ(first.ends(), 0);
    EXPECT_THAT(first.seen(), HasSubstr("detached from run " + run));
    EXPECT_TRUE(first.isAsBefore());
    EXPECT_EQ(Stack::get().ctlJson({"show", run}).at("state"), "running");
    Sitting second({"attach", run});
    ASSERT_TRUE(second.sees("job 1\r\n")) << "what it said last: " << second.seen();
    ASSERT_TRUE(second.becomesRaw());
    Sitting refused({"attach", run});
    EXPECT_EQ(refused.ends(), 125);
    EXPECT_THAT(refused.seen(), HasSubstr("somebody is attached"));
    Sitting third({"attach", "--take-over", "--detach-keys", "x", run});
    ASSERT_TRUE(third.becomesRaw());
    EXPECT_EQ(second.ends(), 125);
    EXPECT_THAT(second.seen(), HasSubstr("somebody else's now"));
    EXPECT_TRUE(second.isAsBefore());
    third.type("x");
    EXPECT_EQ(third.ends(), 0);
    Sitting last({"attach", run});
    ASSERT_TRUE(last.becomesRaw());
    last.type("\x03");
    EXPECT_TRUE(last.sees("ended 2\r\n")) << last.seen();
    EXPECT_EQ(last.ends(), 0);
    EXPECT_TRUE(last.isAsBefore());
    EXPECT_THAT(Stack::get().ctl({"logs", run}).out, HasSubstr("ended 2")) << "the log has it all";
}

TEST_F(Terminal, IsRestoredWhateverEndsRecapctl) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGSEGV}) {
        SCOPED_TRACE(number);
        Sitting sitting(words({"job"}));
        ASSERT_TRUE(sitting.sees("job 1\r\n")) << sitting.seen();
        ASSERT_TRUE(sitting.becomesRaw());
        const std::string run = newestRun();
        sitting.signal(number);
        const bool orderly = number == SIGTERM || number == SIGINT || number == SIGHUP;
        EXPECT_EQ(sitting.ends(), 128 + (orderly ? SIGTERM : number)) << sitting.seen();
        EXPECT_TRUE(sitting.isAsBefore());
        EXPECT_EQ(Stack::get().waitForEnd(run).at("outcome"), "killed") << "a run ends with its caller";
    }
}

TEST_F(Terminal, IsTheShellsWhileRecapctlIsStopped) {
    Sitting sitting(words({"job"}));
    ASSERT_TRUE(sitting.sees("job 1\r\n")) << sitting.seen();
    ASSERT_TRUE(sitting.becomesRaw());
    sitting.signal(SIGTSTP);
    ASSERT_TRUE(sitting.stops());
    EXPECT_TRUE(sitting.isAsBefore());
    sitting.signal(SIGCONT);
    ASSERT_TRUE(sitting.becomesRaw());
    sitting.type("\x03");
    EXPECT_TRUE(sitting.sees("ended 2\r\n")) << sitting.seen();
    EXPECT_EQ(sitting.ends(), 0);
    EXPECT_TRUE(sitting.isAsBefore());
}

TEST_F(Terminal, ARunEndsWhenItsCallerVanishes) {
    std::string run;
    {
        Sitting sitting(words({"job"}));
        ASSERT_TRUE(sitting.sees("job 1\r\n")) << sitting.seen();
        run = newestRun();
        sitting.signal(SIGKILL);
        EXPECT_EQ(sitting.ends(), 128 + SIGKILL);
    }
    EXPECT_EQ(Stack::get().waitForEnd(run).at("outcome"), "killed");
}

TEST_F(Terminal, IsAttachedToByTheNextDaemonToo) {
    const CommandResult started = Stack::get().ctl(words({"job"}, {"-d", "-t"}));
    ASSERT_TRUE(started.ok()) << started.all();
    const std::string run = trimmed(started.out);
    ASSERT_TRUE(Stack::get().waitForLog(run, "job 1"));
    const pid_t daemon = Stack::get().pid("recapd.service");
    const UniqueFd pidfd = openPidfd(daemon);
    ::kill(daemon, SIGKILL);
    ASSERT_TRUE(waitForExit(pidfd.get(), Deadline{kPatience}));
    json details;
    ASSERT_TRUE(waitUntil(
        [&] {
            return (details = Stack::get().ctlJson({"show", run})).value("state", "") == "running";
        },
        Deadline{kPatience}))
        << details.dump();
    EXPECT_EQ(details.at("tty"), true);
    Sitting sitting({"attach", run});
    ASSERT_TRUE(sitting.sees("job 1\r\n")) << sitting.seen();
    ASSERT_TRUE(sitting.becomesRaw());
    sitting.type("\x03");
    EXPECT_TRUE(sitting.sees("ended 2\r\n")) << sitting.seen();
    EXPECT_EQ(sitting.ends(), 0);
}

TEST_F(Terminal, CarriesAMegabyteThroughAnAttachment) {
    const CommandResult started = Stack::get().ctl(words({"copy"}, {"-d", "-i"}));
    ASSERT_TRUE(started.ok()) << started.all();
    const std::string run = trimmed(started.out);
    const TempDir folder;
    std::string sent(1 << 20, '\0');
    for (std::size_t at = 0; at < sent.size(); ++at) sent[at] = static_cast<char>(at ^ (at >> 8) ^ (at >> 16));
    writeFile(folder.path() / "in", sent);
    const std::string in = (folder.path() / "in").string(), out = (folder.path() / "out").string();
    const CommandResult attached = test::run({"sh", "-c", "recapctl attach " + run + " < " + in + " > " + out});
    EXPECT_EQ(attached.status, 0) << attached.all();
    EXPECT_TRUE(readFile(out) == sent) << "its end is the run's end, and its status";
}

TEST_F(Terminal, SaysWhereALogWasCut) {
    const CommandResult started = Stack::get().ctl(words({"flood", "200000000"}, {"-d"}));
    ASSERT_TRUE(started.ok()) << started.all();
    const std::string run = trimmed(started.out);
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("log_truncated"), true) << ended.dump();
    const CommandResult logs = test::run({"sh", "-c", "recapctl logs " + run + " | wc -c"});
    EXPECT_LT(std::stoul(logs.out), 200000000u);
    EXPECT_THAT(logs.err, HasSubstr("its output is cut here"));
    EXPECT_EQ(Stack::get().ctlJson({"logs", "--stream", "stderr", run}).at("truncated"), true);
}

}  // namespace
}  // namespace recap::test
