// SPDX-License-Identifier: Apache-2.0
// A32: `recapctl shell` at containers that have no shell, no root and no place to write; with the manifest that is shipped and
// tools of this machine.
#include "tests/support/environment.hpp"
#include "tests/system/stack/sitting.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kNothing = "recapctl: nothing was changed";

class Shell : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        installShell();
    }
    void TearDown() override { EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs(); }

    static std::unique_ptr<MicroContainer> container(ContainerOptions options) {
        options.runtimeRoot = kRuncRoot;
        auto made = std::make_unique<MicroContainer>(std::move(options));
        Stack::get().run("t-payload", targetOf(*made), {"exit"});  // from now on the daemons know it
        return made;
    }
    static std::string newestRun() { return Stack::get().ctlJson({"runs", "--limit", "1"}).at("runs").at(0).at("id"); }
    // A prompt has been seen, and keys go to the shell.
    static void ready(Sitting& shell, const std::string& prompt = "$ ") {
        ASSERT_TRUE(shell.sees(prompt)) << shell.seen();
        ASSERT_TRUE(shell.becomesRaw());
    }
    // What is looked for is computed, so that it is not in what was typed.
    static void says(Sitting& shell, const std::string& command, const std::string& answer) {
        shell.type(command + "\r");
        ASSERT_TRUE(shell.sees(answer)) << command << "\n" << shell.seen();
    }
    CommandResult script(std::vector<std::string> options, const std::string& text) const {
        std::vector<std::string> words{"recapctl", "shell"};
        words.insert(words.end(), options.begin(), options.end());
        words.push_back(target());
        return test::run(Command{.argv = std::move(words), .input = text});
    }
};

TEST_F(Shell, A32_IsSatAtInAContainerThatHasNone) {
    const std::string log = nginx_->log();
    Sitting shell({"shell", target()});
    ready(shell);
    const std::string run = newestRun();
    says(shell, "echo secret-$((6 * 7)) >&2; tty", "secret-42");
    EXPECT_TRUE(shell.sees("/dev/pts/0")) << shell.seen();
    says(shell, "echo is-$(id -u):$(id -g)-$HOSTNAME", "is-101:101-micro");
    says(shell, "ps -e -o args", "nginx: master");
    says(shell, "ls /etc/nginx /usr/bin/bash", "nginx.conf");
    says(shell, "> /usr/share/new; echo refused-$?", "refused-1");
    EXPECT_THAT(shell.seen(), HasSubstr("/usr/share/new: Permission denied"));
    shell.resize(41, 101);
    says(shell, "until [ \"$(stty size)\" = '41 101' ]; do sleep 0.01; done; echo resized-$((40 + 2))", "resized-42");
    says(shell, "bash -c 'echo sleeps-$((40 + 2)); exec sleep 1000'", "sleeps-42");
    shell.type("\x03");
    ASSERT_TRUE(shell.sees("$ ")) << "Ctrl-C ends the job, not the shell: " << shell.seen();
    says(shell, "echo status-$?", "status-130");
    shell.type("exit 3\r");
    EXPECT_EQ(shell.ends(), 3) << shell.seen();
    EXPECT_THAT(shell.seen(), HasSubstr(kNothing));
    EXPECT_TRUE(shell.isAsBefore());
    expectClean(Stack::get().waitForEnd(run));
    EXPECT_EQ(nginx_->log(), log) << "nothing typed or said is in the container's log";
}

TEST_F(Shell, ControlsJobs) {
    Sitting shell({"shell", target()});
    ready(shell);
    says(shell, R"job(bash -c 'trap "echo again-\$((40 + 2))" CONT; echo up-$((40 + 2)); while :; do sleep 0.05; done')job", "up-42");
    shell.type("\x1a");
    ASSERT_TRUE(shell.sees("Stopped")) << shell.seen();
    says(shell, "fg", "again-42");
    shell.type("\x03");
    ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
    says(shell, "echo status-$?", "status-130");
    says(shell, "sleep 1000 &", "[1] ");
    says(shell, "jobs", "Running");
    says(shell, "kill %1; wait; echo killed-$((40 + 2))", "killed-42");
    ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
    shell.type("\x04");
    EXPECT_EQ(shell.ends(), 0) << shell.seen();
    EXPECT_TRUE(shell.isAsBefore());
}

TEST_F(Shell, WhatItChangesIsListedAndTheTargetDoesNotHaveIt) {
    const auto app = container({.kind = "busybox", .uid = 0, .gid = 0, .readOnlyRoot = false});
    Sitting shell({"shell", targetOf(*app)});
    ready(shell, "# ");
    says(shell, "echo b=2 >> /etc/app.conf; cat /etc/app.conf; rm /etc/group; echo new > /usr/new; echo done-$((40 + 2))", "done-42");
    says(shell, "/bin/busybox echo its-own-$((40 + 2))", "its-own-42");
    shell.type("exit\r");
    EXPECT_EQ(shell.ends(), 0);
    EXPECT_THAT(shell.seen(), HasSubstr("recapctl: 3 files changed in the run's view, none in the target:\r\n  changed  /etc/app.conf\r\n"
                                        "  deleted  /etc/group\r\n  changed  /usr/new\r\n"));
    EXPECT_EQ(readFile(app->rootfs() / "etc/app.conf"), "answer = 42\n");
    EXPECT_TRUE(std::filesystem::exists(app->rootfs() / "etc/group"));
    EXPECT_FALSE(std::filesystem::exists(app->rootfs() / "usr/new"));
}

TEST_F(Shell, IsOpenedOnAnEmptyImageToo) {
    const auto app = container({.kind = "scratch"});
    Sitting shell({"shell", targetOf(*app)});
    ready(shell);
    says(shell, "ps -e -o args", "/app");
    says(shell, "ls -d /app /usr/bin/bash", "/usr/bin/bash");
    shell.type("exit\r");
    EXPECT_EQ(shell.ends(), 0);
    EXPECT_TRUE(shell.isAsBefore());
}

TEST_F(Shell, IsLeftAndComeBackTo) {
    Sitting first({"shell", target()});
    ready(first);
    const std::string run = newestRun();
    says(first, "where=here; echo set-$((40 + 2))", "set-42");
    first.type("\x10\x11");
    EXPECT_EQ(first.ends(), 0);
    EXPECT_THAT(first.seen(), HasSubstr("detached from run " + run));
    EXPECT_THAT(first.seen(), Not(HasSubstr(kNothing))) << "it goes on";
    EXPECT_TRUE(first.isAsBefore());
    Sitting second({"attach", run});
    ASSERT_TRUE(second.becomesRaw());
    says(second, "echo still-$where", "still-here");
    second.type("exit 4\r");
    EXPECT_EQ(second.ends(), 4) << second.seen();
    EXPECT_THAT(second.seen(), HasSubstr(kNothing));
    EXPECT_TRUE(second.isAsBefore());
}

// An interactive shell does not mind TERM: it is hung up.
TEST_F(Shell, EndsWithWhateverEndsRecapctlAndTheTerminalIsAsBefore) {
    for (const int number : {SIGTERM, SIGHUP, SIGKILL}) {
        SCOPED_TRACE(number);
        Sitting shell({"shell", target()});
        ready(shell);
        const std::string run = newestRun();
        says(shell, "bash -c 'echo sleeps-$((40 + 2)); exec sleep 1000'", "sleeps-42");
        shell.signal(number);
        EXPECT_EQ(shell.ends(), 128 + (number == SIGKILL ? SIGKILL : SIGHUP)) << shell.seen();
        EXPECT_TRUE(number == SIGKILL || shell.isAsBefore());
        const json ended = Stack::get().waitForEnd(run);
        EXPECT_EQ(ended.at("outcome"), "killed") << "A32: a run ends with its caller";
        expectClean(ended);
    }
}

TEST_F(Shell, TheTerminalIsAsBeforeWhereTheDaemonIsLost) {
    Sitting shell({"shell", target()});
    ready(shell);
    const std::string run = newestRun();
    const pid_t daemon = Stack::get().pid("recapd.service");
    const UniqueFd pidfd = openPidfd(daemon);
    ::kill(daemon, SIGKILL);
    ASSERT_TRUE(waitForExit(pidfd.get(), Deadline{kPatience}));
    EXPECT_EQ(shell.ends(), 125);
    EXPECT_THAT(shell.seen(), HasSubstr("recapd went away while the run was under way"));
    EXPECT_TRUE(shell.isAsBefore());
    expectClean(Stack::get().waitForEnd(run));  // the next one ends what has lost its caller
}

TEST_F(Shell, IsForWhoMayRunWhatIsPrivileged) {
    for (const char* view : {"merged", "none"}) {
        const auto refused = Stack::get().ctl({"shell", "--view", view, "--processes", "none", target(), "--", "id"}, 65534);
        EXPECT_EQ(refused.status, 125);
        EXPECT_THAT(refused.err, HasSubstr("org.recap1.run-privileged")) << view;
    }
}

TEST_F(Shell, TakesAScriptWhereThereIsNoTerminal) {
    const auto done = script({}, "echo computed-$((40 + 2))\ntty\necho oops >&2\nexit 4\n");
    EXPECT_EQ(done.status, 4) << done.all();
    EXPECT_EQ(done.out, "computed-42\nnot a tty\n");
    EXPECT_EQ(done.err, "oops\n" + std::string(kNothing) + "\n");
    const auto instead = Stack::get().ctl({"shell", target(), "--", "id", "-u"});
    EXPECT_EQ(instead.out, "101\n") << instead.all();
    EXPECT_EQ(Stack::get().ctl({"shell", target(), "--", "no-such-program"}).status, 127);
}

TEST_F(Shell, SeesWhatIsAskedFor) {
    EXPECT_EQ(script({"--view", "read-only"}, "ls -d /etc/nginx /target/etc/nginx 2>/dev/null").out, "/target/etc/nginx\n");
    EXPECT_EQ(script({"--view", "none"}, "ls -d /etc/nginx /target/etc/nginx 2>/dev/null").out, "");
    EXPECT_EQ(script({"--processes", "none"}, "cat /proc/1/comm").out, "capsule-init\n");
    EXPECT_EQ(script({"--processes", "observe"}, "cat /proc/1/comm; kill -0 1 || echo untouchable").out, "nginx\nuntouchable\n");
    EXPECT_EQ(script({"--user", "65534:65533"}, "id -u; id -g").out, "65534\n65533\n");
}

TEST_F(Shell, IsRootWhereTheCeilingOrTheTargetSaysSo) {
    const auto refused = script({"--user", "root"}, "id -u");
    EXPECT_EQ(refused.status, 125);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("denied: "), HasSubstr("root-user: uid 0 where the target runs as uid 101"),
                                   HasSubstr("/etc/recap/ceiling.toml would have to allow it")));
    const auto app = container({.kind = "busybox", .uid = 0, .gid = 0});
    EXPECT_EQ(Stack::get().ctl({"shell", "--user", "root", targetOf(*app), "--", "id", "-u"}).out, "0\n");
}

TEST_F(Shell, HasAnotherImagesPrograms) {
    EXPECT_EQ(Stack::get().ctl({"shell", "--image", "test/payload:1", target(), "--", "/payload", "exit", "9"}).status, 9);
    const auto missing = Stack::get().ctl({"shell", "--image", "test/none:1", target()});
    EXPECT_EQ(missing.status, 125);
    EXPECT_THAT(missing.err, HasSubstr("image test/none:1 of capsule 'shell' is not imported; 'recapctl image import' brings it in"));
}

TEST_F(Shell, ThePlanSaysWhatItWouldBe) {
    const auto planned = Stack::get().ctl({"plan", "--view", "none", "--processes", "observe", "shell", target()});
    EXPECT_THAT(planned.out, AllOf(HasSubstr("none: the target's files are not visible"), HasSubstr("visible, not touchable"),
                                   HasSubstr("org.recap1.run-privileged"), HasSubstr("policy        shell")))
        << planned.all();
    const json usual = Stack::get().ctlJson({"plan", "shell", target()});
    EXPECT_EQ(usual.at("view"), "merged");
    EXPECT_EQ(usual.at("capabilities"), json::array());
    const auto other = Stack::get().ctl({"plan", "--view", "none", "t-payload", target()});
    EXPECT_THAT(other.err, HasSubstr("capsule 't-payload' does not leave 'view' to its callers"));
}

TEST_F(Shell, SaysHowToComeByWhatIsNotThere) {
    Stack::get().ctl({"capsule", "remove", "shell"});
    const auto gone = Stack::get().ctl({"shell", target()});
    EXPECT_EQ(gone.status, 125);
    EXPECT_THAT(gone.err, AllOf(HasSubstr("capsule 'shell' is not installed: 'recap-capsule build "),
                                HasSubstr("'recapctl image import shell.tar'"), HasSubstr("'recapctl capsule install ")));
    Stack::get().install(manifestOf("shell", "test/nowhere:1", "[\"bash\"]", ""));
    EXPECT_THAT(Stack::get().ctl({"shell", target()}).err, HasSubstr("capsule 'shell' has no image here: 'recap-capsule build "));
    installShell();
}

}  // namespace
}  // namespace recap::test
