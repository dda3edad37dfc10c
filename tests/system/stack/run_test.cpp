// SPDX-License-Identifier: Apache-2.0
// Runs through the whole house, from recapctl to the payload and back, on a real container.
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Run : public StackTest {
protected:
    void TearDown() override { EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs(); }
};

TEST_F(Run, ExitStatusAndStreamsAreThePayloads) {
    const CommandResult exited = Stack::get().ctl({"run", "t-payload", target(), "--", "exit", "7"});
    EXPECT_EQ(exited.status, 7) << exited.all();
    EXPECT_EQ(exited.out, "");
    const CommandResult wrong = Stack::get().ctl({"run", "t-payload", target(), "--", "no-such-deed"});
    EXPECT_EQ(wrong.status, 64);
    EXPECT_EQ(wrong.err, "payload: no such deed\n");
    const CommandResult copied = test::run(Command{.argv = {"recapctl", "run", "t-payload", target(), "--", "copy"}, .input = "through\n"});
    EXPECT_EQ(copied.out, "through\n") << copied.all();
}

TEST_F(Run, ASignalIsAShells128AndMore) { EXPECT_EQ(Stack::get().ctl({"run", "t-payload", target(), "--", "signal", "11"}).status, 139); }

TEST_F(Run, ReportsItsPhasesInOrderAndACleanEscape) {
    const json report = Stack::get().run("t-payload", target(), {"exit"});
    EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
    expectClean(report);
    const json phases = report.at("phases");
    std::int64_t before = 0;
    for (const char* phase : {"received", "planned", "attached", "executing", "finished", "escaped"}) {
        ASSERT_TRUE(phases.contains(phase)) << phases.dump();
        EXPECT_GE(phases.at(phase).get<std::int64_t>(), before) << phase;
        before = phases.at(phase);
    }
}

TEST_F(Run, RunsAsTheTargetWithoutPrivileges) {
    const json report = Stack::get().run("t-payload", target(), {"self"});
    const auto self = values(report.at("stdout"));
    EXPECT_EQ(self.at("uid"), "101 101");
    EXPECT_EQ(self.at("gid"), "101 101");
    for (const char* set : {"effective", "permitted", "inheritable", "bounding"}) EXPECT_EQ(self.at(set), "0") << set;
    EXPECT_EQ(self.at("no-new-privileges"), "1");
    EXPECT_EQ(self.at("seccomp"), "2");
    EXPECT_EQ(self.at("open"), "0 1 2");
}

TEST_F(Run, FindsATargetByTheNameAndLabelsThatItsRuntimeGaveIt) {
    json found;
    const auto named = [&] {
        const json all = Stack::get().ctlJson({"targets"});
        for (const json& row : all.at("targets"))
            if (row.value("name", "") == nginx_->name()) found = row;
        return !found.is_null();
    };
    ASSERT_TRUE(waitUntil(named, Deadline{kPatience})) << Stack::get().ctl({"targets"}).all();
    EXPECT_EQ(found.value("pid", 0), nginx_->pid());
    EXPECT_EQ(found.value("runtime", ""), "runc");
    EXPECT_EQ(found.at("labels").value("app", ""), "nginx") << found.dump();
    EXPECT_EQ(Stack::get().ctl({"run", "t-payload", nginx_->name(), "--", "exit", "3"}).status, 3);
    EXPECT_EQ(Stack::get().ctl({"run", "t-payload", "process:" + nginx_->name(), "--", "exit", "4"}).status, 4);
}

TEST_F(Run, OutputOfADetachedRunIsKept) {
    const std::string run = Stack::get().startDetached("t-payload", target(), {"no-such-deed"});
    const json details = Stack::get().waitForEnd(run);
    EXPECT_EQ(details.at("outcome"), "failed") << details.dump();
    EXPECT_EQ(details.at("exit_code"), 64);
    EXPECT_THAT(Stack::get().ctl({"logs", run}).all(), HasSubstr("payload: no such deed"));
    EXPECT_THAT(Stack::get().ctlJson({"runs"}).dump(), HasSubstr(run));
}

TEST_F(Run, ArtifactsComeOutWithoutWhatTheyPointTo) {
    const TempDir folder;
    const CommandResult ran = Stack::get().ctl({"run", "t-out", target(), "--output", folder.path().string(), "--", "artifacts", "/out"});
    EXPECT_EQ(ran.status, 0) << ran.all();
    EXPECT_EQ(readFile(folder.path() / "scribble"), "scribble");
    EXPECT_EQ(readFile(folder.path() / "sub/scribble"), "scribble");
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(folder.path() / "secret")));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "pipe"));
}

TEST_F(Run, StopEndsARun) {
    const std::string run = Stack::get().startDetached("t-payload", target(), {"rest"});
    EXPECT_TRUE(Stack::get().waitForLog(run, "resting"));
    EXPECT_TRUE(Stack::get().ctl({"stop", run}).ok());
    const json details = Stack::get().waitForEnd(run);
    EXPECT_EQ(details.at("outcome"), "killed") << details.dump();
    expectClean(details);
}

// A20: double-forks, ignores TERM, hits the deadline; nothing left, no zombie under the target's PID 1.
TEST_F(Run, A20_WhatResistsItsEndIsGoneAfterDeadlineAndGrace) {
    for (const std::vector<std::string>& deed :
         std::vector<std::vector<std::string>>{{"ignore"}, {"double-fork", "stay"}, {"fork-bomb"}, {"spin"}}) {
        SCOPED_TRACE(deed[0]);
        const json report = Stack::get().run("t-short", target(), deed);
        EXPECT_EQ(report.at("outcome"), "timed-out") << report.dump(2);
        expectClean(report);
        EXPECT_THAT(left(), IsEmpty());
    }
    const json orphans = Stack::get().run("t-short", target(), {"double-fork"});
    EXPECT_EQ(orphans.at("outcome"), "succeeded") << orphans.dump(2);
    expectClean(orphans);
    EXPECT_EQ(nginx_->get().status, 200);
    // Among the processes of a target whose first one waits for nobody.
    Stack::get().install(manifestOf("t-short-joined", "test/payload:1", "[\"/payload\"]",
                                    "[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\nprocesses = \"join\"\nview = \"merged\"\n"
                                    "[limits]\ntimeout = \"500ms\"\n"));
    const MicroContainer app({.kind = "busybox"});
    Stack::get().run("t-payload", targetOf(app), {"exit"});  // from now on the daemons know it
    for (const std::vector<std::string>& deed : std::vector<std::vector<std::string>>{{"ignore"}, {"double-fork", "stay"}, {"fork-bomb"}}) {
        SCOPED_TRACE("joined, " + deed[0]);
        const json report = Stack::get().run("t-short-joined", targetOf(app), deed);
        EXPECT_EQ(report.at("outcome"), "timed-out") << report.dump(2);
        expectClean(report);
        for (const pid_t child : childrenOf(app.pid())) EXPECT_NE(processOf(child)->state, 'Z') << child;
        EXPECT_THAT(left(), IsEmpty());
    }
}

std::string idOf(const std::filesystem::path& path) {
    const CommandResult id = mustRun({"stat", "-L", "-c", "%d:%i", path.string()});
    return trimmed(id.out);
}

// A23: the view's device and inode are the target's root's, and the host's root is never reached.
TEST_F(Run, A23_TheViewIsTheTargetsRootAndNeverTheHosts) {
    const std::string host = idOf("/"), theirs = idOf("/proc/" + std::to_string(nginx_->pid()) + "/root/.");
    ASSERT_NE(host, theirs);
    const json report = Stack::get().run("t-view", target(), {"escape"});
    const auto seen = values(report.at("stdout"));
    EXPECT_EQ(seen.at("target"), theirs) << report.dump(2);
    const std::string own = seen.at("root");
    EXPECT_EQ(seen.at("above-root"), own);
    EXPECT_EQ(seen.at("above-target"), own);
    EXPECT_EQ(seen.at("far-above-target"), own);
    for (const auto& [what, id] : seen) EXPECT_NE(id, host) << what;
    EXPECT_NE(own, theirs);
}

TEST_F(Run, TheViewCannotBeWritten) {
    const auto written = values(Stack::get().run("t-view", target(), {"scribble", "/target", "/target/tmp", "/target/run"}).at("stdout"));
    for (const char* folder : {"/target", "/target/tmp", "/target/run"}) EXPECT_EQ(written.at(folder), "Read-only file system");
}

TEST_F(Run, TheNextRunFindsNothingOfTheLast) {
    Stack::get().run("t-view", target(), {"scribble", "/tmp"});
    EXPECT_EQ(Stack::get().run("t-view", target(), {"ls", "/tmp"}).at("stdout"), "");
}

TEST_F(Run, TenAtOnceDoNotDisturbEachOther) {
    std::vector<std::string> runs;
    for (int i = 0; i < 10; ++i) runs.push_back(Stack::get().startDetached("t-payload", target(), {"exit", std::to_string(i)}));
    for (int i = 0; i < 10; ++i) {
        const json details = Stack::get().waitForEnd(runs[static_cast<std::size_t>(i)]);
        EXPECT_EQ(details.at("exit_code"), i) << details.dump();
        expectClean(details);
    }
}

TEST_F(Run, TheRecordOfARunIsInTheLaunchersOwnJournal) {
    const json report = Stack::get().run("t-payload", target(), {"exit"});
    EXPECT_TRUE(waitUntil([&] { return readFile(Stack::get().folder("RECAP_JOURNAL")).find(report.at("id")) != std::string::npos; },
                          Deadline{kPatience}));
}

// A target that ends takes its capsules with it, and the report says so.
TEST_F(Run, ATargetThatEndsMidRunIsTargetGone) {
    MicroContainer other{{.kind = "busybox"}};
    const std::string run = Stack::get().startDetached("t-payload", targetOf(other), {"ignore"});
    EXPECT_TRUE(Stack::get().waitForLog(run, "ignoring"));
    other.kill();
    const json details = Stack::get().waitForEnd(run);
    EXPECT_EQ(details.at("outcome"), "target-gone") << details.dump();
    expectClean(details);
}

}  // namespace
}  // namespace recap::test
