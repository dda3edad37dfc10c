// SPDX-License-Identifier: Apache-2.0
// Capsules among the target's own processes, and in its user, cgroup and time namespaces.
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The busybox container's PID 1 is a sleep: it never waits for anybody, so that each orphan that came to it stays a zombie.
class LauncherJoin : public LauncherTest {
protected:
    void SetUp() override {
        LauncherTest::SetUp();
        target_ = std::make_unique<MicroContainer>(ContainerOptions{.kind = "busybox"});
        watched_ = std::make_unique<Outside>(OutsideScope{.targets = {target_->pid()}, .contents = {target_->rootfs()}});
        quiet_ = watched_->look();
    }
    void TearDown() override {
        EXPECT_THAT(leftAfter(*watched_, quiet_, [this](const std::string& what) { return expected_ && expected_(what); }), IsEmpty());
        watched_.reset();
        target_.reset();
        LauncherTest::TearDown();
    }

    Plan joining(std::vector<std::string> words) { return joining(target_->pid(), std::move(words)); }
    Plan joining(pid_t target, std::vector<std::string> words) {
        Plan plan = planFor(*client_, *launcher_, target, std::move(words));
        plan.processes = Processes::Join;
        plan.namespaces |= kNsPid;
        return plan;
    }
    Finished join(std::vector<std::string> words) { return runPlan(*client_, joining(std::move(words)), target_->pid()); }
    void stop(const std::string& runId, int log) {
        ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{runId, 1'000'000}));
        const Report report = finish(*client_, runId, log).report;
        EXPECT_EQ(report.end, End::Stopped);
        EXPECT_THAT(report.left, IsEmpty());
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{runId}));
    }

    std::unique_ptr<MicroContainer> target_;
    std::unique_ptr<Outside> watched_;
    Picture quiet_;
    std::function<bool(const std::string&)> expected_;
};

// As the target numbers it.
std::string ownNumber(pid_t pid) {
    const std::string all = statusOf(pid).at("NSpid");
    return all.substr(all.rfind('\t') + 1);
}

pid_t childOf(pid_t parent) {
    const auto children = childrenOf(parent);
    return children.empty() ? 0 : children.front();
}

TEST_F(LauncherJoin, LivesInTheTargetsPidNamespaceUnderItsOwnInit) {
    const Plan asked = joining({"rest"});
    const auto log = startPlan(*client_, asked, target_->pid());
    ASSERT_TRUE(log) << log.error().message;
    client_->waitFor(asked.runId, RunPhase::Executing);
    const pid_t process = payloadOf(asked.runId);
    ASSERT_NE(process, 0);
    EXPECT_EQ(namespaceOf(process, "pid"), namespaceOf(target_->pid(), "pid"));
    EXPECT_NE(namespaceOf(process, "mnt"), namespaceOf(target_->pid(), "mnt"));
    const pid_t init = processOf(process)->parent;
    EXPECT_EQ(processOf(init)->name, "capsule-init");
    EXPECT_EQ(namespaceOf(init, "pid"), namespaceOf(target_->pid(), "pid"));
    EXPECT_EQ(processOf(init)->parent, launcher_->pid()) << "the supervisor's child, and nobody's of the target";
    EXPECT_TRUE(waitUntil([&] { return statusOf(init)["CapEff"] == std::string(16, '0'); }, Deadline{std::chrono::seconds(5)}));
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
        EXPECT_EQ(statusOf(init).at(set), std::string(16, '0')) << set;
    stop(asked.runId, log->get());
}

TEST_F(LauncherJoin, ShowsTheTargetsProcessesAndItsOwn) {
    const std::string seen = join({"ls", "/proc"}).out;
    const auto numbers = lines(seen);
    EXPECT_THAT(numbers, Contains("1"));
    EXPECT_THAT(numbers, Contains(ownNumber(childOf(target_->pid()))));
    EXPECT_THAT(join({"cat", "/proc/self/comm"}).out, "payload\n");
    EXPECT_THAT(join({"cat", "/proc/1/comm"}).out, "sleep\n");
}

TEST_F(LauncherJoin, SignalsAndTracesWhatItsUidMay) {
    const pid_t sleeper = childOf(target_->pid());
    const std::string number = ownNumber(sleeper);
    EXPECT_EQ(join({"call", std::to_string(SYS_ptrace), std::to_string(PTRACE_SEIZE), number, "0", "0"}).out, "ok\n");
    EXPECT_EQ(join({"call", std::to_string(SYS_kill), number, "9"}).out, "ok\n");
    // it was the target's own: it stays a zombie of the target's, whose PID 1 waits for nobody
    expected_ = [sleeper](const std::string& what) { return what.find(std::to_string(sleeper)) != std::string::npos; };
    EXPECT_TRUE(waitUntil([&] { return processOf(sleeper)->state == 'Z'; }, Deadline{std::chrono::seconds(5)}));
}

TEST_F(LauncherJoin, LeavesNoZombieOfADaemonisingCapsule) {
    const Finished finished = join({"double-fork"});
    EXPECT_EQ(finished.out, "forked\n");
    EXPECT_EQ(finished.report.end, End::Exited);
    EXPECT_THAT(finished.report.left, IsEmpty());
    EXPECT_THAT(childrenOf(target_->pid()), ::testing::SizeIs(1)) << "its own sleep, and no orphan of the capsule";
}

TEST_F(LauncherJoin, EndsWhatWillNotEndWithoutAZombie) {
    for (const std::vector<std::string>& words : {std::vector<std::string>{"double-fork", "stay"}, {"ignore"}, {"fork-bomb"}}) {
        Plan asked = joining(words);
        asked.timeoutUsec = 300'000;
        asked.graceUsec = 50'000;
        const Finished finished = runPlan(*client_, asked, target_->pid());
        EXPECT_EQ(finished.report.end, End::TimedOut) << words[0];
        EXPECT_THAT(finished.report.left, IsEmpty()) << words[0];
        EXPECT_THAT(childrenOf(target_->pid()), ::testing::SizeIs(1)) << words[0];
    }
}

TEST_F(LauncherJoin, EndsWithATargetThatGoes) {
    auto target = std::make_unique<MicroContainer>(ContainerOptions{.kind = "busybox"});
    const Plan asked = joining(target->pid(), {"rest"});
    const auto log = startPlan(*client_, asked, target->pid());
    ASSERT_TRUE(log) << log.error().message;
    client_->waitFor(asked.runId, RunPhase::Executing);
    target->kill();
    const Report report = finish(*client_, asked.runId, log->get()).report;
    EXPECT_EQ(report.end, End::TargetGone);
    EXPECT_THAT(report.left, IsEmpty());
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
}

TEST_F(LauncherJoin, FailsByTheNameOfTheStep) {
    Plan asked = joining({"rest"});
    asked.executable = "/absent";
    EXPECT_EQ(runPlan(*client_, asked, target_->pid()).report.step, "executable");
    asked = joining({"rest"});
    asked.filter = {0x0000'0000'0000'0000};  // no program: it must not start unfiltered
    const Finished finished = runPlan(*client_, asked, target_->pid());
    EXPECT_EQ(finished.report.end, End::NotStarted);
    EXPECT_EQ(finished.report.step, "seccomp");
    EXPECT_THAT(childrenOf(target_->pid()), ::testing::SizeIs(1));
}

TEST_F(LauncherJoin, RefusesATargetThatMayTraceInTheHostsUserNamespace) {
    const MicroContainer tracer({.kind = "busybox", .uid = 0, .gid = 0, .capabilities = {"CAP_SYS_PTRACE", "CAP_KILL"}});
    expectRefused(joining(tracer.pid(), {"rest"}), tracer.pid(), Errc::Denied, "CAP_SYS_PTRACE");
    Plan asked = planFor(*client_, *launcher_, tracer.pid(), {"exit"});
    EXPECT_EQ(runPlan(*client_, asked, tracer.pid()).report.end, End::Exited) << "observe is another matter";
}

// The target's first process is harmless here, another one in its pid namespace is not.
TEST_F(LauncherJoin, LooksAtEveryProcessOfTheTarget) {
    Child other(Command{.argv = {"nsenter", "-t", std::to_string(target_->pid()), "-p", "sleep", "86404"}});
    ASSERT_TRUE(waitUntil(
        [&] {
            const pid_t sleeper = childOf(other.pid());
            return sleeper != 0 && processOf(sleeper) && processOf(sleeper)->name == "sleep";
        },
        Deadline{std::chrono::seconds(10)}));
    const Finished finished = join({"exit"});
    EXPECT_EQ(finished.report.end, End::NotStarted);
    EXPECT_EQ(finished.report.error, EPERM);
    EXPECT_THAT(finished.report.step, HasSubstr("trace"));
    ::kill(childOf(other.pid()), SIGKILL);
    other.wait(Deadline{std::chrono::seconds(10)});
    EXPECT_EQ(join({"exit"}).report.end, End::Exited);
}

// While it attaches, each holds rights that the others must not take for the target's.
TEST_F(LauncherJoin, ManyAtOnceDoNotTakeOneAnotherForTracers) {
    std::vector<std::pair<std::string, UniqueFd>> runs;
    for (int i = 0; i < 60; ++i) {
        const Plan asked = joining({"exit"});
        auto log = startPlan(*client_, asked, target_->pid());
        ASSERT_TRUE(log) << log.error().message;
        runs.emplace_back(asked.runId, std::move(*log));
    }
    for (const auto& [run, log] : runs) {
        const Report report = finish(*client_, run, log.get()).report;
        EXPECT_EQ(report.end, End::Exited) << report.step;
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{run}));
    }
}

class LauncherUsers : public LauncherTest {
protected:
    static constexpr std::uint32_t kFirst = 3'000'000;  // the host's number of the target's uid 0
};

TEST_F(LauncherUsers, JoinsAUserNamespaceWithItsIdsAndNoRight) {
    const MicroContainer target({.kind = "busybox", .userNamespace = kFirst});
    Plan asked = planFor(*client_, *launcher_, target.pid(), {"self"});
    EXPECT_EQ(asked.uid, kFirst + 101);
    asked.namespaces |= kNsUser;
    const Finished finished = runPlan(*client_, asked, target.pid());
    ASSERT_EQ(finished.report.end, End::Exited) << finished.report.step << " " << finished.report.error;
    const auto self = values(finished.out);
    EXPECT_EQ(self.at("uid"), "101 101");
    EXPECT_EQ(self.at("gid"), "101 101");
    for (const char* set : {"effective", "permitted", "inheritable", "bounding"}) EXPECT_EQ(self.at(set), "0") << set;
    EXPECT_EQ(self.at("no-new-privileges"), "1");

    asked = planFor(*client_, *launcher_, target.pid(), {"exit"});
    asked.namespaces |= kNsUser;
    asked.uid = 101;  // the host's 101 does not exist there
    expectRefused(asked, target.pid(), Errc::InvalidArgument, "uid 101 is not mapped");
    asked.uid = kFirst;
    expectRefused(asked, target.pid(), Errc::Denied, "root-user");
}

// Every combination of what can be joined, with what is not joined staying apart.
TEST_F(LauncherUsers, JoinsAnyCombination) {
    const MicroContainer target({.kind = "busybox", .cgroupNamespace = true, .userNamespace = kFirst});
    const Outside outside({.targets = {target.pid()}});
    const Picture before = outside.look();
    const char* kinds[] = {"pid", "net", "ipc", "uts", "user", "cgroup"};
    for (std::uint32_t bits = 0; bits < 64; ++bits) {
        Plan asked = planFor(*client_, *launcher_, target.pid(), {"rest"});
        asked.namespaces = bits;
        asked.processes = (bits & kNsPid) != 0 ? Processes::Join : Processes::None;
        const auto log = startPlan(*client_, asked, target.pid());
        ASSERT_TRUE(log) << log.error().message;
        ASSERT_EQ(client_->waitFor(asked.runId, RunPhase::Executing).report.step, "") << bits;
        const pid_t process = payloadOf(asked.runId);
        for (std::size_t i = 0; i < std::size(kinds); ++i) {
            const bool same = namespaceOf(process, kinds[i]) == namespaceOf(target.pid(), kinds[i]);
            EXPECT_EQ(same, (bits >> i & 1) != 0) << kinds[i] << " of combination " << bits;
        }
        ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 0}));
        EXPECT_THAT(finish(*client_, asked.runId, log->get()).report.left, IsEmpty()) << bits;
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
    }
    EXPECT_THAT(leftAfter(outside, before), IsEmpty());
}

TEST_F(LauncherUsers, JoinsATimeNamespace) {
    Child target(Command{
        .argv = {"unshare", "--fork", "--pid", "--net", "--ipc", "--uts", "--mount", "--time", "--boottime", "1000000", "sleep", "86405"}});
    ASSERT_TRUE(waitUntil(
        [&] {
            const pid_t sleeper = childOf(target.pid());
            return sleeper != 0 && processOf(sleeper) && processOf(sleeper)->name == "sleep";
        },
        Deadline{std::chrono::seconds(10)}));
    const pid_t sleeper = childOf(target.pid());
    Plan asked = planFor(*client_, *launcher_, sleeper, {"rest"});
    asked.namespaces |= kNsTime;
    const auto log = startPlan(*client_, asked, sleeper);
    ASSERT_TRUE(log) << log.error().message;
    client_->waitFor(asked.runId, RunPhase::Executing);
    const pid_t process = payloadOf(asked.runId);
    EXPECT_EQ(namespaceOf(process, "time"), namespaceOf(sleeper, "time"));
    EXPECT_NE(namespaceOf(process, "time"), namespaceOf(::getpid(), "time"));
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 0}));
    EXPECT_THAT(finish(*client_, asked.runId, log->get()).report.left, IsEmpty());
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
    ::kill(sleeper, SIGKILL);
    target.wait(Deadline{std::chrono::seconds(10)});
}

}  // namespace
}  // namespace recap::test
