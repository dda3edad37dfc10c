// SPDX-License-Identifier: Apache-2.0
// Targets of other kinds than a container that has everything of its own, and what is no target.
#include <sys/capability.h>
#include <sys/stat.h>

#include "tests/support/command.hpp"
#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LauncherTargets : public LauncherTest {
protected:
    Plan good() { return plan({"exit"}); }
};

// A process whose root is that of a container, by chroot(2) alone.
class Chrooted {
public:
    // `before`: what starts it, for namespaces of its own.
    explicit Chrooted(std::vector<std::string> before) : child_(commandFor(std::move(before), files_)) {
        const auto sleeps = [](pid_t pid) {
            const auto found = processOf(pid);
            return found && found->name == "busybox";
        };
        const bool there = waitUntil(
            [&] {
                const auto children = childrenOf(child_.pid());
                pid_ = children.empty() ? child_.pid() : children.front();
                return sleeps(pid_);
            },
            Deadline{kPatience});
        if (!there) throw std::runtime_error("chroot: " + child_.readOut());
        writeFile(files_.rootfs() / "etc/of-the-chroot", "inside\n");
    }
    ~Chrooted() {
        ::kill(pid_, SIGKILL);
        child_.wait(Deadline{kPatience});
    }
    Chrooted(const Chrooted&) = delete;
    Chrooted& operator=(const Chrooted&) = delete;
    pid_t pid() const { return pid_; }

private:
    static Command commandFor(std::vector<std::string> words, const MicroContainer& files) {
        for (const char* word : {"chroot", "--userspec=101:101"}) words.emplace_back(word);
        words.push_back(files.rootfs());
        for (const char* word : {"/bin/busybox", "sleep", "86406"}) words.emplace_back(word);
        return Command{.argv = words};
    }
    const MicroContainer files_{{.kind = "busybox"}};
    Child child_;
    pid_t pid_ = 0;
};

// A container that its runtime gave a root by chroot(2) (--no-pivot): above that, its mount namespace has all of the host's files.
TEST_F(LauncherTargets, AContainerWhoseRootIsAChroot) {
    const Chrooted target({"setpriv", "--bounding-set=-sys_ptrace", "unshare", "--fork", "--pid", "--net", "--ipc", "--uts", "--mount"});
    const TempDir host{"recap-outside"};
    const std::string mark = host.path() / "of-the-host";
    writeFile(mark, "outside\n");
    const auto sees = [&](const std::string& file, Plan looking) {
        looking.runId = freshRunId();
        looking.argv.push_back(file);
        const Finished looked = runPlan(*client_, looking, target.pid());
        EXPECT_EQ(looked.report.end, End::Exited) << looked.report.step;
        EXPECT_THAT(looked.report.left, IsEmpty());
        return looked.out + looked.err;
    };
    Plan beside = planFor(*client_, *launcher_, target.pid(), {"cat"});
    beside.view = View::ReadOnly;
    EXPECT_EQ(sees("/target/etc/of-the-chroot", beside), "inside\n");
    EXPECT_EQ(sees("/target" + mark, beside), "error: No such file or directory\n");
    EXPECT_EQ(sees("/target/../../../../../.." + mark, beside), "error: No such file or directory\n");

    Plan within = planFor(*client_, *launcher_, target.pid(), {"exec", "/bin/busybox", "cat"});
    within.view = View::Merged;
    EXPECT_EQ(sees("/etc/of-the-chroot", within), "inside\n");
    EXPECT_THAT(sees(mark, within), HasSubstr("No such file or directory"));

    Plan joining = planFor(*client_, *launcher_, target.pid(), {"cat"});
    joining.processes = Processes::Join;
    joining.namespaces |= kNsPid;
    const Report refused = runPlan(*client_, joining, target.pid()).report;  // "/proc/1/root/.." would be the host's
    EXPECT_EQ(refused.end, End::NotStarted);
    EXPECT_THAT(refused.step, HasSubstr("in a chroot"));
    EXPECT_EQ(refused.error, EPERM);

    const Plan observing = planFor(*client_, *launcher_, target.pid(), {"cat"});
    EXPECT_EQ(sees("/proc/1/root/../../../../.." + mark, observing), "error: Too many levels of symbolic links\n");
}

// A process that has nothing of its own but a root. Its files are the host's, in the host's mount namespace: nothing is joined or
// shown by way of it, and what needs neither runs.
TEST_F(LauncherTargets, AProcessThatIsInAChrootAndNothingElse) {
    const Chrooted target({});
    Plan beside = planFor(*client_, *launcher_, target.pid(), {"exit", "3"});
    beside.processes = Processes::None;
    beside.namespaces = 0;
    EXPECT_EQ(runPlan(*client_, beside, target.pid()).report.value, 3);

    const auto expectHosts = [&](std::uint32_t bit, View view, const char* kind) {
        Plan joining = beside;
        joining.runId = freshRunId();
        joining.namespaces = bit;
        joining.processes = bit == kNsPid ? Processes::Join : Processes::None;
        joining.view = view;
        expectRefused(joining, target.pid(), Errc::Denied, std::string("host's ") + kind + " namespace");
    };
    expectHosts(kNsNet, View::None, "net");
    expectHosts(kNsIpc, View::None, "ipc");
    expectHosts(kNsUts, View::None, "uts");
    expectHosts(kNsPid, View::None, "mnt");
    expectHosts(0, View::ReadOnly, "mnt");
}

// Namespaces of its own, and the host's files: among its processes /proc/1/root would be these.
TEST_F(LauncherTargets, AProcessWithTheHostsRootIsNotJoined) {
    Child process(Command{.argv = {"setpriv", "--bounding-set=-sys_ptrace", "unshare", "--fork", "--kill-child", "--pid", "--net", "--ipc",
                                   "--uts", "--mount", "sh", "-c", "echo ready; exec sleep 86408"}});
    ASSERT_TRUE(process.waitForOutput("ready", Deadline{kPatience}));
    const pid_t target = childrenOf(process.pid()).front();
    Plan joining = planFor(*client_, *launcher_, target, {"exit"});
    joining.processes = Processes::Join;
    joining.namespaces |= kNsPid;
    joining.uid = joining.gid = 101;
    expectRefused(joining, target, Errc::Denied, "would show the host's files");
    process.signal(SIGTERM);
    process.wait(Deadline{kPatience});
}

// Namespaces that anybody can make, with a folder of the host's for a root: its maker cannot have it looked at with more than it has.
TEST_F(LauncherTargets, AViewOfAUserNamespaceGivesNoRightThatItsUsersHaveNot) {
    const TempDir folder{"recap-of-the-host"};
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    writeFile(folder.path() / "secret", "for root only\n");
    std::filesystem::permissions(folder.path() / "secret", std::filesystem::perms::owner_read);
    const Child process(
        Command{.argv = {"setpriv", "--reuid=101", "--regid=101", "--clear-groups", "unshare", "--user", "--map-current-user", "--mount",
                         "--keep-caps", "python3", "-c",
                         "import os,sys,time\nos.chroot(sys.argv[1])\nprint('ready',flush=True)\ntime.sleep(86407)", folder.path()}});
    ASSERT_TRUE(const_cast<Child&>(process).waitForOutput("ready", Deadline{kPatience}));
    Plan looking = planFor(*client_, *launcher_, process.pid(), {"cat", "/target/secret"});
    looking.view = View::ReadOnly;
    looking.processes = Processes::None;
    looking.namespaces = 0;
    EXPECT_EQ(runPlan(*client_, looking, process.pid()).out, "error: Permission denied\n");
    looking.runId = freshRunId();
    looking.capabilities = 1ull << CAP_DAC_READ_SEARCH;
    expectRefused(looking, process.pid(), Errc::Denied, "CAP_DAC_READ_SEARCH would count outside of it");
    looking.capabilities = 0;
    looking.uid = 1;
    expectRefused(looking, process.pid(), Errc::Denied, "uid 1 is none of its users");
}

TEST_F(LauncherTargets, ATargetThatIsAnotherThanPlanned) {
    Plan other = good();
    ++other.startTime;
    expectRefused(other, Errc::TargetGone, "start time");
    other = good();
    other.cgroup = "/elsewhere";
    expectRefused(other, Errc::TargetGone, "/elsewhere");
    other = good();
    ++other.expected[1];
    expectRefused(other, Errc::TargetGone, "net namespace");
}

TEST_F(LauncherTargets, ATargetThatHasEnded) {
    MicroContainer other{{.kind = "busybox"}};
    const Plan asked = planFor(*client_, *launcher_, other.pid(), {"exit"});
    const UniqueFd pidfd = openPidfd(other.pid());
    other.kill();
    const auto started = client_->ask<Started>(Verb::Start, asked, {pidfd.get()});
    ASSERT_FALSE(started);
    EXPECT_EQ(name(started.error().code), "TargetGone") << started.error().message;
    EXPECT_THAT(differences(before_, outside_->look()), IsEmpty());
}

TEST_F(LauncherTargets, ATargetThatSharesANamespaceWithTheHost) {
    const Child host{{.argv = {"unshare", "--net", "--ipc", "sleep", "1000"}}};
    ASSERT_TRUE(waitUntil([&] { return processOf(host.pid())->name == "sleep"; }, Deadline{kPatience}));
    Plan asked = planFor(*client_, *launcher_, host.pid(), {"exit"});
    expectRefused(asked, host.pid(), Errc::Denied, "uts");
    asked.namespaces = kNsNet | kNsIpc;
    expectRefused(asked, host.pid(), Errc::Denied, "pid");  // its processes are the host's
    asked.processes = Processes::None;
    asked.view = View::ReadOnly;
    expectRefused(asked, host.pid(), Errc::Denied, "host");  // and so are its files
}

TEST_F(LauncherTargets, TheHostsFilesThroughAMountNamespaceOfTheTargetsOwn) {
    const Child host{{.argv = {"unshare", "--net", "--ipc", "--uts", "--mount", "sleep", "1000"}}};
    ASSERT_TRUE(waitUntil([&] { return processOf(host.pid())->name == "sleep"; }, Deadline{kPatience}));
    Plan asked = planFor(*client_, *launcher_, host.pid(), {"ids", "/target"});
    asked.processes = Processes::None;
    asked.view = View::ReadOnly;
    expectRefused(asked, host.pid(), Errc::Denied, "host");
}

TEST_F(LauncherTargets, TheLauncherItself) {
    const UniqueFd pidfd = openPidfd(launcher_->pid());
    const auto facts = client_->ask<TargetFacts>(Verb::Inspect, Empty{}, {pidfd.get()});
    ASSERT_TRUE(facts) << facts.error().message;
    Plan asked = good();
    asked.namespaces = 0;
    asked.processes = Processes::None;
    asked.startTime = facts->startTime;
    asked.cgroup = facts->cgroup;
    expectRefused(asked, launcher_->pid(), Errc::Denied, "RECap's own");
}

// Any of them: what has no memory of its own, and is no zombie either.
pid_t kernelThread() {
    for (const Process& process : allProcesses())
        if (process.state != 'Z' && !statusOf(process.pid).contains("VmSize")) return process.pid;
    return 0;
}

TEST_F(LauncherTargets, AKernelThread) {
    const pid_t thread = kernelThread();
    if (thread == 0) {                                    // nobody can name one in a pid namespace below the host's
        constexpr std::uint64_t kHostsPids = 0xEFFFFFFC;  // PROC_PID_INIT_INO of the kernel
        EXPECT_NE(namespaceOf(::getpid(), "pid"), kHostsPids);
        return;
    }
    const UniqueFd pidfd = openPidfd(thread);
    const auto facts = client_->ask<TargetFacts>(Verb::Inspect, Empty{}, {pidfd.get()});
    ASSERT_FALSE(facts);
    EXPECT_THAT(facts.error().message, HasSubstr("kernel thread"));
    expectRefused(good(), thread, Errc::Denied, "kernel thread");
}

}  // namespace
}  // namespace recap::test
