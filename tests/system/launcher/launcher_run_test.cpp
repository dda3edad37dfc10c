// SPDX-License-Identifier: Apache-2.0
// What recap-launcher does with a good plan: the attach, the sandbox, the output, seen from the payload and from outside.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAreArray;

class LauncherRun : public LauncherTest {};

TEST_F(LauncherRun, TellsWhatTheKernelShowsOfATarget) {
    const UniqueFd pidfd = openPidfd(nginx_->pid());
    const auto facts = client_->ask<TargetFacts>(Verb::Inspect, Empty{}, {pidfd.get()});
    ASSERT_TRUE(facts) << facts.error().message;
    EXPECT_EQ(facts->pid, static_cast<std::uint32_t>(nginx_->pid()));
    EXPECT_EQ(facts->startTime, processOf(nginx_->pid())->startTime);
    EXPECT_EQ(facts->cgroup, nginx_->cgroup());
    EXPECT_EQ(facts->uid, 101u);
    EXPECT_EQ(facts->gid, 101u);
    EXPECT_EQ(facts->capBounding, 0u);
    const char* kinds[] = {"pid", "net", "ipc", "uts", "user", "cgroup", nullptr, "mnt"};
    for (std::size_t i = 0; i < kNamespaces; ++i)
        if (kinds[i] != nullptr) {
            EXPECT_EQ(facts->namespaces[i], namespaceOf(nginx_->pid(), kinds[i])) << kinds[i];
        }
    EXPECT_EQ(facts->hostNamespaces & (kNsNet | kNsPid | kNsIpc | kNsUts | kNsMnt), 0u);
    EXPECT_EQ(facts->hostNamespaces & kNsUser, static_cast<std::uint32_t>(kNsUser));
}

TEST_F(LauncherRun, EndsWithThePayloadsExitStatusAndIsClean) {
    const Finished finished = payload({"exit", "7"});
    EXPECT_EQ(finished.report.end, End::Exited) << finished.report.step << " " << finished.report.message;
    EXPECT_EQ(finished.report.value, 7);
    EXPECT_THAT(finished.report.left, IsEmpty());
}

TEST_F(LauncherRun, ThisKernelsWayOrTheOlderOneServes) {
    const std::uint64_t features = client_->ask<Hello>(Verb::Hello, Hello{}).value().features;
    EXPECT_NE((features & kFeatureObserve) != 0, (features & kFeatureObserveByVisit) != 0);
    EXPECT_NE((features & kFeatureLayers) != 0, (features & kFeatureLayersByName) != 0);
    for (const Feature feature : {kFeatureIntoCgroup, kFeatureCgroupKill, kFeatureLimits}) EXPECT_NE(features & feature, 0u) << feature;
}

TEST_F(LauncherRun, OrdersItsPhases) {
    const Report report = payload({"exit"}).report;
    EXPECT_GT(report.received, 0u);
    EXPECT_LE(report.received, report.attached);
    EXPECT_LE(report.attached, report.executing);
    EXPECT_LE(report.executing, report.finished);
    EXPECT_LE(report.finished, report.escaped);
}

TEST_F(LauncherRun, TellsWhichSignalEndedThePayload) {
    const Finished finished = payload({"signal", "11"});
    EXPECT_EQ(finished.report.end, End::Signalled);
    EXPECT_EQ(finished.report.value, SIGSEGV);
}

TEST_F(LauncherRun, JoinsWhatThePlanNamesAndNothingElse) {
    const Plan asked = plan({"rest"});
    const auto log = startPlan(*client_, asked, nginx_->pid());
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(client_->waitFor(asked.runId, RunPhase::Executing).phase, RunPhase::Executing);
    const pid_t process = payloadOf(asked.runId);
    ASSERT_NE(process, 0);
    for (const char* kind : {"net", "ipc", "uts"}) EXPECT_EQ(namespaceOf(process, kind), namespaceOf(nginx_->pid(), kind)) << kind;
    for (const char* kind : {"pid", "mnt"}) {
        EXPECT_NE(namespaceOf(process, kind), namespaceOf(nginx_->pid(), kind)) << kind;
        EXPECT_NE(namespaceOf(process, kind), namespaceOf(::getpid(), kind)) << kind;
    }
    EXPECT_NE(namespaceOf(process, "cgroup"), namespaceOf(::getpid(), "cgroup"));
    EXPECT_THAT(processOf(process)->cgroups, Not(HasSubstr(nginx_->name()))) << "never in the target's cgroup";
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 1'000'000}));
    const Report report = finish(*client_, asked.runId, log->get()).report;
    EXPECT_EQ(report.end, End::Stopped);
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
}

TEST_F(LauncherRun, GivesNamespacesOfItsOwnWhereNoneAreJoined) {
    Plan asked = plan({"rest"});
    asked.namespaces = 0;
    asked.processes = Processes::None;
    const auto log = startPlan(*client_, asked, nginx_->pid());
    ASSERT_TRUE(log) << log.error().message;
    client_->waitFor(asked.runId, RunPhase::Executing);
    const pid_t process = payloadOf(asked.runId);
    for (const char* kind : {"net", "ipc", "uts", "pid", "mnt"}) {
        EXPECT_NE(namespaceOf(process, kind), namespaceOf(nginx_->pid(), kind)) << kind;
        EXPECT_NE(namespaceOf(process, kind), namespaceOf(::getpid(), kind)) << kind;
    }
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 1'000'000}));
    finish(*client_, asked.runId, log->get());
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
}

TEST_F(LauncherRun, RunsAsTheTargetWithoutPrivileges) {
    const auto self = values(payload({"self"}).out);
    EXPECT_EQ(self.at("uid"), "101 101");
    EXPECT_EQ(self.at("gid"), "101 101");
    EXPECT_EQ(self.at("groups"), "0");
    for (const char* set : {"effective", "permitted", "inheritable", "bounding"}) EXPECT_EQ(self.at(set), "0") << set;
    EXPECT_EQ(self.at("no-new-privileges"), "1");
    EXPECT_EQ(self.at("seccomp"), "2");
    EXPECT_EQ(self.at("open"), "0 1 2");
    EXPECT_EQ(self.at("cwd"), "/");
    EXPECT_EQ(self.at("open-files"), "256 256");
    EXPECT_EQ(self.at("core"), "1 1") << "0 would not stop a core_pattern that is a pipe";
    EXPECT_EQ(self.at("hostname"), "micro");
    EXPECT_NE(self.at("pid"), "1") << "PID 1 would survive TERM";
}

TEST_F(LauncherRun, GivesJustTheCapabilitiesOfThePlan) {
    Plan asked = plan({"self"});
    asked.capabilities = 1u << 13;  // CAP_NET_RAW
    const auto self = values(run(asked).out);
    EXPECT_EQ(self.at("effective"), "2000");
    EXPECT_EQ(self.at("permitted"), "2000");
}

TEST_F(LauncherRun, PassesArgumentsAndEnvironmentAsTheyAre) {
    Plan asked = plan({"arguments", "two words", "", "ü"});
    asked.env = {"A=1", "B=x y"};
    EXPECT_EQ(run(asked).out, "arg: two words\narg: \narg: ü\nenv: A=1\nenv: B=x y\n");
}

TEST_F(LauncherRun, ObserveShowsTheTargetsProcessesExactly) {
    std::vector<std::string> seen;
    for (const std::string& line : lines(payload({"ls", "/proc"}).out))
        if (line.find_first_not_of("0123456789") == std::string::npos) seen.push_back(line);
    const auto expected = ownNumbers(nginx_->pid());
    EXPECT_GE(expected.size(), 2u);
    EXPECT_THAT(seen, UnorderedElementsAreArray(expected));
}

// What /dev/fd, /dev/stdout and many a tool need; it is the payload's own, and not one of the target's.
TEST_F(LauncherRun, ObserveHasTheCapsulesOwnSelf) {
    EXPECT_THAT(payload({"cat", "/proc/self/comm"}).out, "payload\n");
    EXPECT_THAT(payload({"cat", "/proc/thread-self/comm"}).out, "payload\n");
    EXPECT_THAT(payload({"cat", "/proc/1/comm"}).out, "nginx\n");
}

TEST_F(LauncherRun, WithoutObserveNoProcessOfTheTargetIsSeen) {
    Plan asked = plan({"ls", "/proc"});
    asked.processes = Processes::None;
    asked.namespaces = kNsNet;
    std::vector<std::string> processes = lines(run(asked).out);
    std::erase_if(processes, [](const std::string& entry) { return entry.find_first_not_of("0123456789") != std::string::npos; });
    EXPECT_THAT(processes, ElementsAre("1", "2")) << "capsule-init and the payload, and neither of nginx's";
}

TEST_F(LauncherRun, WithoutAViewTheTargetsFilesAreNotThere) {
    EXPECT_THAT(payload({"cat", "/target/etc/nginx/nginx.conf"}).out, HasSubstr("No such file"));
}

// Runs in a child inside the target's mount namespace, as a target's root could do it.
void inMountsOf(pid_t target, const std::function<bool()>& act) {
    const std::string path = "/proc/" + std::to_string(target) + "/ns/mnt";
    const pid_t child = ::fork();
    if (child == 0) {
        const int mounts = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        ::_exit(mounts >= 0 && ::unshare(CLONE_FS) == 0 && ::setns(mounts, CLONE_NEWNS) == 0 && act() ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    ASSERT_EQ(status, 0);
}

// Taking the upper one of two mounts off would show the lower, a procfs whose links lead to the target's writable root.
TEST_F(LauncherRun, AProcfsUnderAnotherMountIsNotLaidBare) {
    inMountsOf(nginx_->pid(),
               [] { return ::mount("proc", "/tmp", "proc", 0, nullptr) == 0 && ::mount("cover", "/tmp", "tmpfs", 0, nullptr) == 0; });
    Plan asked = plan({"ls", "/target/tmp"});
    asked.view = View::ReadOnly;
    const Finished finished = run(asked);
    for (int i = 0; i < 2; ++i) inMountsOf(nginx_->pid(), [] { return ::umount2("/tmp", MNT_DETACH) == 0; });
    EXPECT_EQ(finished.report.end, End::NotStarted) << finished.out;
    EXPECT_EQ(finished.report.step, "foreign mounts");
    EXPECT_EQ(finished.report.error, EBUSY);
}

TEST_F(LauncherRun, ReadOnlyViewIsTheTargetsRootAndCannotBeWritten) {
    Plan asked = plan({"cat", "/target/etc/nginx/nginx.conf"});
    asked.view = View::ReadOnly;
    EXPECT_EQ(run(asked).out, readFile(nginx_->rootfs() / "etc/nginx/nginx.conf"));
    Plan writes = plan({"scribble", "/target/tmp", "/target/run", "/target"});
    writes.view = View::ReadOnly;
    const auto written = values(run(writes).out);
    for (const char* folder : {"/target/tmp", "/target/run", "/target"}) {
        EXPECT_EQ(written.at(folder), "Read-only file system");
        EXPECT_EQ(written.at(std::string(folder) + " link"), "Read-only file system");
        EXPECT_EQ(written.at(std::string(folder) + " mode"), "Read-only file system");
    }
}

TEST_F(LauncherRun, EveryRunGetsAFreshRootOfItsOwn) {
    const auto first = values(payload({"scribble", "/tmp"}).out);
    EXPECT_EQ(first.at("/tmp"), "written");
    EXPECT_THAT(payload({"ls", "/tmp"}).out, "");
    EXPECT_FALSE(std::filesystem::exists(launcher_->store() / "layers" / launcher_->layer() / "tmp/scribble"));
}

TEST_F(LauncherRun, KeepsTheCopyOnWriteLayerWithinItsSize) {
    const auto filled = values(payload({"fill", "/tmp/fill"}).out);
    EXPECT_EQ(filled.at("error"), "No space left on device");
    EXPECT_LE(std::stol(filled.at("written")), 8 * 1024);
}

TEST_F(LauncherRun, KeepsStdoutAndStderrApart) {
    const Finished finished = payload({"no-such-deed"});
    EXPECT_EQ(finished.report.value, 64);
    EXPECT_EQ(finished.out, "");
    EXPECT_EQ(finished.err, "payload: no such deed\n");
}

TEST_F(LauncherRun, CutsALogAtItsCapAndSaysSo) {
    Plan asked = plan({"flood", "4194304"});
    asked.logMax = 65536;
    const Finished finished = run(asked);
    EXPECT_EQ(finished.report.end, End::Exited);
    EXPECT_EQ(finished.report.value, 0) << "a full log must not stop the payload";
    EXPECT_TRUE(finished.report.logTruncated);
    EXPECT_LE(finished.out.size(), 65536u);
    EXPECT_GT(finished.out.size(), 0u);
}

TEST_F(LauncherRun, ConnectsTheCallersOwnDescriptors) {
    int in[2], out[2];
    ASSERT_EQ(::pipe2(in, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    UniqueFd inRead{in[0]}, inWrite{in[1]}, outRead{out[0]}, outWrite{out[1]};
    ASSERT_EQ(::write(inWrite.get(), "through\n", 8), 8);
    Plan asked = plan({"copy"});
    asked.stdio = {Stdio::Given, Stdio::Given, Stdio::Null};
    const UniqueFd pidfd = openPidfd(nginx_->pid());
    ASSERT_TRUE(client_->ask<Started>(Verb::Start, asked, {pidfd.get(), inRead.get(), outWrite.get()}));
    inRead.reset();
    outWrite.reset();
    inWrite.reset();
    EXPECT_EQ(finish(*client_, asked.runId, -1).report.value, 0);
    char text[64] = {};
    EXPECT_EQ(::read(outRead.get(), text, sizeof text), 8);
    EXPECT_STREQ(text, "through\n");
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
}

TEST_F(LauncherRun, CollectsRegularFilesOnly) {
    Plan asked = plan({"artifacts", "/out"});
    asked.artifacts = "/out";
    asked.artifactsMax = 1u << 20;
    const auto log = startPlan(*client_, asked, nginx_->pid());
    ASSERT_TRUE(log) << log.error().message;
    const Finished finished = finish(*client_, asked.runId, log->get());
    EXPECT_EQ(finished.report.value, 0) << finished.out << finished.err;
    EXPECT_TRUE(finished.report.hasArtifacts);
    std::vector<UniqueFd> pipe;
    ASSERT_TRUE(client_->ask<Empty>(Verb::Collect, RunRef{asked.runId}, {}, &pipe));
    ASSERT_EQ(pipe.size(), 1u);
    const UniqueFd inherited{::dup(pipe[0].get())};
    const CommandResult listed = test::run({"sh", "-c", "exec tar -tf /dev/fd/" + std::to_string(inherited.get())});
    EXPECT_THAT(lines(listed.out), UnorderedElementsAreArray({"scribble", "sub/", "sub/scribble"})) << listed.all();
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
}

TEST_F(LauncherRun, FollowsALinkInTheImageToItsExecutable) {
    Plan asked = plan({"exit", "3"});
    asked.executable = "/alias";
    EXPECT_EQ(run(asked).report.value, 3);
}

TEST_F(LauncherRun, WritesItsOwnRecordOfStartAndEnd) {
    const Plan asked = plan({"exit"});
    run(asked);
    const auto records = launcher_->journal();
    EXPECT_THAT(records, Contains(::testing::AllOf(HasSubstr(asked.runId), HasSubstr("START"))));
    EXPECT_THAT(records, Contains(::testing::AllOf(HasSubstr(asked.runId), HasSubstr("END"))));
}

// The target's own uid passes the kernel's ptrace checks, so that only the mounts keep its magic links from leading out.
TEST_F(LauncherRun, DoesNotFollowTheTargetsProcessesIntoItsFiles) {
    Plan observing = plan({"cat", "/proc/1/root/etc/passwd"});
    observing.processes = Processes::Observe;
    EXPECT_THAT(run(observing).out, Not(HasSubstr("nginx")));
    observing = plan({"cat", "/proc/1/status"});
    observing.processes = Processes::Observe;
    EXPECT_THAT(run(observing).out, HasSubstr("nginx")) << "the process itself is to be seen";
    Plan viewing = plan({"cat", "/target/proc/1/root/etc/passwd"});
    viewing.processes = Processes::None;
    viewing.view = View::ReadOnly;
    EXPECT_THAT(run(viewing).out, Not(HasSubstr("nginx")));
    viewing = plan({"cat", "/target/etc/passwd"});
    viewing.processes = Processes::None;
    viewing.view = View::ReadOnly;
    EXPECT_THAT(run(viewing).out, HasSubstr("nginx")) << "the view itself is to be seen";
}

TEST_F(LauncherRun, BlocksAndIgnoresNoSignalOfThePayload) {
    Plan asked = plan({"cat", "/proc/self/status"});
    asked.processes = Processes::None;
    const Finished finished = run(asked);
    EXPECT_THAT(finished.out, HasSubstr("SigBlk:\t0000000000000000"));
    EXPECT_THAT(finished.out, HasSubstr("SigIgn:\t0000000000000000"));
}

TEST_F(LauncherRun, RunsManyAtOnce) {
    std::vector<Plan> plans;
    std::vector<UniqueFd> logs;
    for (int i = 0; i < 20; ++i) {
        plans.push_back(plan({"exit", std::to_string(i)}));
        auto log = startPlan(*client_, plans.back(), nginx_->pid());
        ASSERT_TRUE(log) << log.error().message;
        logs.push_back(std::move(*log));
    }
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(finish(*client_, plans[static_cast<std::size_t>(i)].runId, -1).report.value, i);
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{plans[static_cast<std::size_t>(i)].runId}));
    }
}

}  // namespace
}  // namespace recap::test
