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
        quiet_ = lookWhenQuiet(*watched_);
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
    EXPECT_EQ(std::string(readFile("/proc/" + std::to_string(init) + "/cmdline").c_str()), "capsule-init");
    EXPECT_EQ(readFile("/proc/" + std::to_string(init) + "/cmdline").find("--"), std::string::npos) << "nothing of the launcher's own";
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

// A process that unshare(1) has put into namespaces of its own.
class Apart {
public:
    explicit Apart(std::vector<std::string> argv) : child_(Command{.argv = std::move(argv)}) {
        const bool there = waitUntil(
            [this] {
                sleeper_ = childOf(child_.pid());
                return sleeper_ != 0 && processOf(sleeper_) && processOf(sleeper_)->name == "sleep";
            },
            Deadline{kPatience});
        if (!there) throw std::runtime_error("unshare: " + child_.readOut());
    }
    ~Apart() {
        ::kill(sleeper_, SIGKILL);
        child_.wait(Deadline{kPatience});
    }
    Apart(const Apart&) = delete;
    Apart& operator=(const Apart&) = delete;
    pid_t pid() const { return sleeper_; }

private:
    Child child_;
    pid_t sleeper_ = 0;
};

// Every combination of what can be joined, `always` in each, with what is not joined staying apart.
class LauncherCombinations : public LauncherUsers {
protected:
    void expectAll(pid_t target, std::uint32_t always = 0) {
        const Outside outside({.targets = {target}});
        const Picture before = lookWhenQuiet(outside);
        for (std::uint32_t bits = 0; bits < 64; ++bits) {
            SCOPED_TRACE("combination " + std::to_string(bits | always));
            expectOne(target, bits | always);
        }
        EXPECT_THAT(leftAfter(outside, before), IsEmpty());
    }

private:
    void expectOne(pid_t target, std::uint32_t bits) {
        Plan asked = planFor(*client_, *launcher_, target, {"rest"});
        asked.namespaces = bits;
        asked.processes = (bits & kNsPid) != 0 ? Processes::Join : Processes::None;
        const auto log = startPlan(*client_, asked, target);
        ASSERT_TRUE(log) << log.error().message;
        ASSERT_EQ(client_->waitFor(asked.runId, RunPhase::Executing).report.step, "");
        const pid_t process = payloadOf(asked.runId);
        const char* kinds[] = {"pid", "net", "ipc", "uts", "user", "cgroup", "time"};
        for (std::size_t i = 0; i < std::size(kinds); ++i) {
            const auto theirs = namespaceOf(target, kinds[i]);
            const bool joined = (bits >> i & 1) != 0;
            if (joined || theirs != namespaceOf(::getpid(), kinds[i])) {
                EXPECT_EQ(namespaceOf(process, kinds[i]) == theirs, joined) << kinds[i];
            }
        }
        ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 0}));
        EXPECT_THAT(finish(*client_, asked.runId, log->get()).report.left, IsEmpty());
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
    }
};

TEST_F(LauncherCombinations, OfAContainersNamespaces) {
    expectAll(MicroContainer({.kind = "busybox", .cgroupNamespace = true, .userNamespace = kFirst}).pid());
}

// runc 1.1 makes no time namespaces, unshare does, and for a user without rights all of them together.
TEST_F(LauncherCombinations, WithATimeNamespace) {
    const TempDir root{"recap-root"};
    for (const char* folder : {"", "bin", "tmp"}) {
        std::filesystem::create_directories(root.path() / folder);
        std::filesystem::permissions(root.path() / folder, std::filesystem::perms(0755));
    }
    for (const char* name : {"sh", "sleep", "umount"}) std::filesystem::copy_file("/usr/bin/busybox", root.path() / "bin" / name);
    const Apart target({"setpriv",
                        "--reuid=101",
                        "--regid=101",
                        "--clear-groups",
                        "unshare",
                        "--user",
                        "--map-current-user",
                        "--keep-caps",
                        "--fork",
                        "--pid",
                        "--net",
                        "--ipc",
                        "--uts",
                        "--mount",
                        "--cgroup",
                        "--time",
                        "--boottime",
                        "1000000",
                        "sh",
                        "-ec",
                        "mount --rbind $0 $0; cd $0; /sbin/pivot_root . tmp; exec /bin/sh -ec '/bin/umount -l /tmp; exec sleep 86405'",
                        root.path()});
    EXPECT_NE(namespaceOf(target.pid(), "time"), namespaceOf(::getpid(), "time"));
    expectAll(target.pid(), kNsTime);
}

TEST_F(LauncherUsers, JoinsATimeNamespaceOfRoots) {
    const Apart target(
        {"unshare", "--fork", "--pid", "--net", "--ipc", "--uts", "--mount", "--time", "--boottime", "1000000", "sleep", "86405"});
    Plan asked = planFor(*client_, *launcher_, target.pid(), {"cat", "/proc/uptime"});
    asked.namespaces |= kNsTime;
    const Finished finished = runPlan(*client_, asked, target.pid());
    EXPECT_GT(std::atof(finished.out.c_str()), 1000000.0) << finished.report.step << finished.out << finished.err;
}

}  // namespace
}  // namespace recap::test
