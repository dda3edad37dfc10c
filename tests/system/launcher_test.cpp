// SPDX-License-Identifier: Apache-2.0
// The launcher alone, driven by its protocol, on real containers: what a capsule sees, what it may, and that it is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/launcher_process.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

using launcher::End;
using launcher::Plan;
using launcher::Report;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Launcher : public ::testing::Test {
protected:
    Report run(const Plan& plan) {
        auto started = client_.start(plan, target_.pid());
        EXPECT_TRUE(started) << started.error().message;
        if (!started) return {};
        const Report report = client_.waitForEnd(plan.runId);
        EXPECT_THAT(report.left, IsEmpty());
        EXPECT_THAT(launcher_.capsuleCgroups(), IsEmpty());
        return report;
    }
    Report shell(const std::string& script, const std::function<void(Plan&)>& change = {}) {
        Plan plan = planFor(launcher_, image_, facts_, {"sh", "-c", script});
        if (change) change(plan);
        return run(plan);
    }
    std::string out() { return client_.log(1); }
    std::string err() { return client_.log(2); }

    MicroContainer target_{{.kind = "busybox"}};
    LauncherProcess launcher_;
    LauncherClient client_{launcher_.socket()};
    launcher::TargetFacts facts_ = client_.inspect(target_.pid());
    std::string image_ = launcher_.addImage({{"/bin/sh", "/bin/busybox"}, {"/bin/busybox", "/bin/busybox"}});
};

TEST_F(Launcher, RunsAPayloadAndTellsItsEndItsOutputAndItsPhases) {
    const Report report = shell("echo out; echo err >&2; exit 7");
    EXPECT_EQ(report.end, End::Exited) << report.step << ": " << strerror(report.error);
    EXPECT_EQ(report.value, 7);
    EXPECT_EQ(out(), "out\n");
    EXPECT_EQ(err(), "err\n");
    EXPECT_LE(report.received, report.attached);
    EXPECT_LE(report.attached, report.executing);
    EXPECT_LE(report.executing, report.finished);
    EXPECT_LE(report.finished, report.escaped);
}

TEST_F(Launcher, JoinsExactlyTheNamespacesThatThePlanNames) {
    for (const std::uint32_t joined : {0u, std::uint32_t{launcher::kNsNet}, std::uint32_t{launcher::kNsNet | launcher::kNsIpc | launcher::kNsUts}}) {
        shell("for n in net ipc uts mnt pid cgroup; do busybox readlink /proc/self/ns/$n; done", [&](Plan& plan) { plan.namespaces = joined; });
        const auto seen = lines(out());
        ASSERT_EQ(seen.size(), 6u) << err();
        const char* names[] = {"net", "ipc", "uts", "mnt", "pid", "cgroup"};
        const std::uint32_t bits[] = {launcher::kNsNet, launcher::kNsIpc, launcher::kNsUts, 0, 0, 0};
        for (std::size_t i = 0; i < 6; ++i) {
            EXPECT_EQ(seen[i] == std::string(names[i]) + ":[" + std::to_string(namespaceOf(target_.pid(), names[i])) + "]", (joined & bits[i]) != 0) << seen[i];
            EXPECT_NE(seen[i], std::string(names[i]) + ":[" + std::to_string(namespaceOf(::getpid(), names[i])) + "]") << "the host's";
        }
    }
}

TEST_F(Launcher, GivesThePayloadTheTargetsIdentityAndNoRight) {
    shell("busybox cat /proc/self/status; busybox cat /proc/1/status | busybox grep ^Name");
    for (const char* line : {"Uid:\t101\t101\t101\t101", "Gid:\t101\t101\t101\t101", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                             "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
                             "Seccomp_filters:\t2", "Name:\tcapsule-init"})
        EXPECT_THAT(out(), HasSubstr(line));
}

TEST_F(Launcher, GrantsExactlyThePlansCapabilities) {
    shell("busybox grep ^Cap /proc/self/status", [](Plan& plan) { plan.capabilities = 1ull << 13; });
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) EXPECT_THAT(out(), HasSubstr(std::string(set) + ":\t0000000000002000"));
    EXPECT_THAT(out(), HasSubstr("CapBnd:\t0000000000000000"));
}

TEST_F(Launcher, StartsThePayloadWithNoSignalBlockedOrIgnored) {
    shell("busybox grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    for (const char* set : {"SigBlk", "SigIgn", "SigCgt"}) EXPECT_THAT(out(), HasSubstr(std::string(set) + ":\t0000000000000000"));
}

TEST_F(Launcher, LeavesNoDescriptorOfItsOwnOpen) {
    shell("busybox ls -l /proc/self/fd | busybox awk '{print $9}'");
    std::string open;
    for (const auto& line : lines(out())) open += line + " ";
    EXPECT_THAT(open, HasSubstr("0 1 2 3 ")) << "3 is ls's own view of the folder";
    EXPECT_THAT(open, Not(HasSubstr(" 4 ")));
}

TEST_F(Launcher, ShowsNothingOfTheTargetWithoutAView) {
    shell("ls / && ls /target; busybox mount", [](Plan&) {});
    EXPECT_THAT(out(), Not(HasSubstr("target")));
}

TEST_F(Launcher, ShowsTheTargetsFilesReadOnlyBelowTarget) {
    shell("busybox cat /target/etc/hostname /target/etc/passwd; busybox touch /target/tmp/x; echo $?; busybox touch /x /tmp/y; echo $?",
          [](Plan& plan) { plan.view = launcher::View::ReadOnly; });
    EXPECT_THAT(err(), HasSubstr("Read-only file system"));
    EXPECT_FALSE(std::filesystem::exists(target_.rootfs() / "x"));
}

TEST_F(Launcher, ObservesTheContainersProcessesExactly) {
    const auto before = companionsOf(target_.pid());
    const std::string container = target_.exec({"/bin/busybox", "ps", "-o", "pid,comm"}).out;
    shell("busybox ps -o pid,comm", [](Plan& plan) { plan.processes = launcher::Processes::Observe; });
    std::vector<std::string> inside = lines(container);
    if (!inside.empty()) inside.pop_back();  // runc exec's own ps
    EXPECT_EQ(lines(out()), inside);
    EXPECT_EQ(companionsOf(target_.pid()), before);
}

TEST_F(Launcher, EndsWhatIgnoresTermAndForksAtTheDeadline) {
    const Report report = shell("trap '' TERM; (while :; do busybox sleep 1000; done) & (busybox setsid busybox sleep 1000 &) ; while :; do busybox sleep 1000; done",
                                [](Plan& plan) {
                                    plan.timeoutUsec = 300000;
                                    plan.graceUsec = 200000;
                                });
    EXPECT_EQ(report.end, End::TimedOut);
    EXPECT_EQ(report.value, 137);
}

TEST_F(Launcher, StopsOnRequestWithTermFirst) {
    const Plan plan = planFor(launcher_, image_, facts_, {"sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; while :; do busybox sleep 0.01; done"});
    ASSERT_TRUE(client_.start(plan, target_.pid()));
    ASSERT_TRUE(waitUntil([&] { return out() == "ready\n"; }, Deadline(kPatience)));
    ASSERT_TRUE(client_.call<launcher::Empty>(launcher::Verb::Stop, launcher::StopRequest{plan.runId, 5000000}));
    const Report report = client_.waitForEnd(plan.runId);
    EXPECT_EQ(report.end, End::Stopped);
    EXPECT_EQ(report.value, 3);
    EXPECT_EQ(out(), "ready\nbye\n");
}

TEST_F(Launcher, IsGoneWhenTheTargetEnds) {
    const Plan plan = planFor(launcher_, image_, facts_, {"sh", "-c", "while :; do busybox sleep 1000; done"});
    ASSERT_TRUE(client_.start(plan, target_.pid()));
    target_.kill();
    EXPECT_EQ(client_.waitForEnd(plan.runId).end, End::TargetGone);
    EXPECT_THAT(launcher_.capsuleCgroups(), IsEmpty());
}

TEST_F(Launcher, RefusesBeforeAnythingHappens) {
    const Plan good = planFor(launcher_, image_, facts_, {"sh", "-c", "true"});
    const auto refused = [&](const std::function<void(Plan&)>& change) {
        Plan plan = good;
        plan.runId = newRunId();
        change(plan);
        auto started = client_.start(plan, target_.pid());
        EXPECT_FALSE(started);
        EXPECT_THAT(launcher_.capsuleCgroups(), IsEmpty());
        return started ? Error{} : started.error();
    };
    EXPECT_EQ(refused([](Plan& plan) { plan.startTime += 1; }).code, Errc::TargetGone);
    EXPECT_EQ(refused([](Plan& plan) { plan.cgroup += "x"; }).code, Errc::TargetGone);
    EXPECT_EQ(refused([](Plan& plan) {
                  plan.namespaces = launcher::kNsNet;
                  plan.expected[1] += 1;
              }).code,
              Errc::TargetGone);
    EXPECT_THAT(refused([](Plan& plan) { plan.capabilities = 1ull << 21; }).message, HasSubstr("capabilities: number 21"));
    EXPECT_THAT(refused([](Plan& plan) { plan.uid = 0; }).message, HasSubstr("root-user"));
    EXPECT_THAT(refused([](Plan& plan) { plan.limits.memory = 1ull << 40; }).message, HasSubstr("max.memory"));
    EXPECT_THAT(refused([](Plan& plan) { plan.limits.pids = 0; }).message, HasSubstr("limit"));
    EXPECT_THAT(refused([](Plan& plan) { plan.filter = {0x7ff0000000000006ull}; }).message, HasSubstr("seccomp"));
    EXPECT_EQ(refused([](Plan& plan) { plan.imageDigest = std::string(64, 'e'); }).code, Errc::NotFound);
    EXPECT_EQ(refused([](Plan& plan) { plan.layers = {std::string(64, 'e')}; }).code, Errc::Denied);
    EXPECT_EQ(refused([](Plan& plan) { plan.processes = launcher::Processes::Join; }).code, Errc::NotSupported);
    const std::string stranger = launcher_.addImage({{"/bin/other", "/bin/busybox"}}, false);
    EXPECT_EQ(refused([&](Plan& plan) {
                  plan.imageDigest = stranger;
                  plan.layers = {launcher_.layerOf(stranger)};
              }).code,
              Errc::NotAdmitted);
}

TEST_F(Launcher, NeverJoinsTheHost) {
    const auto facts = client_.inspect(::getpid());
    Plan plan = planFor(launcher_, image_, facts, {"sh", "-c", "true"});
    plan.namespaces = launcher::kNsNet;
    auto started = client_.start(plan, ::getpid());
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr("would join the host's net namespace"));
}

TEST_F(Launcher, TakesItsCapsulesWithItAndSweepsWhenItIsBack) {
    Plan plan = planFor(launcher_, image_, facts_, {"sh", "-c", "while :; do busybox sleep 1000; done"});
    ASSERT_TRUE(client_.start(plan, target_.pid()));
    while (client_.nextEvent().phase != launcher::RunPhase::Executing) continue;
    launcher_.killHard();
    launcher_.startAgain();
    EXPECT_THAT(launcher_.capsuleCgroups(), IsEmpty());
}

}  // namespace
}  // namespace recap::test
