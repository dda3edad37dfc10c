// SPDX-License-Identifier: Apache-2.0
// Attacks by a target on the processes that attach to it: T1 to T3, and T14.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/hostile/prober.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/proc.hpp"

namespace recap::test {
namespace {

using launcher::End;
using launcher::Plan;
using launcher::RunPhase;
using launcher::Verb;

const ContainerOptions kRoot{.kind = "busybox", .uid = 0, .gid = 0, .readOnlyRoot = false};

Plan joining(Arena& arena, const MicroContainer& target, std::vector<std::string> words) {
    Plan plan = arena.plan(target, std::move(words));
    plan.processes = launcher::Processes::Join;
    plan.namespaces |= launcher::kNsPid;
    return plan;
}

void stop(Arena& arena, const std::string& runId, int log) {
    static_cast<void>(arena.client().ask<launcher::Empty>(Verb::Stop, launcher::StopRequest{runId, 0}));
    finish(arena.client(), runId, log);
    static_cast<void>(arena.client().ask<launcher::Empty>(Verb::Ack, launcher::RunRef{runId}));
}

// A run that stays is there to be attacked for a whole look of the prober's.
void rest(Arena& arena, Prober& prober, const Plan& plan, pid_t target) {
    const auto log = startPlan(arena.client(), plan, target);
    if (!log) throw std::runtime_error("START: " + log.error().message);
    arena.client().waitFor(plan.runId, RunPhase::Executing);
    prober.awaitLook();
    stop(arena, plan.runId, log->get());
}

// CVE-2016-9962, CVE-2016-8649: root in the container takes what is the host's from the process that joins.
TEST(T1, NothingIsTakenFromWhatJoins) {
    const MicroContainer target(kRoot);
    Prober prober(target, {"probe", "capsule-init", "recap-spawn", "recap-parked", "recap-launcher"});
    expectInVain(Threat::Tracing,
                 [&](Arena& arena, Score& score) {
                     const std::size_t before = prober.mark();
                     while (goOn(arena, score, 200)) {
                         if (score.attempts % 50 == 0)
                             rest(arena, prober, joining(arena, target, {"rest"}), target.pid());
                         else
                             arena.run(joining(arena, target, {"exit"}), target);
                         const std::string how = prober.gained(before);
                         score.attempt(!how.empty(), how);
                     }
                 },
                 {.targets = {target.pid()}});
}

// CVE-2019-5736: what is written to is the launcher's own program, by way of the exe of whatever of it comes into the target.
TEST(T4, NothingIsWrittenToTheLaunchersProgram) {
    const MicroContainer target(kRoot);
    Prober prober(target, {"probe", "capsule-init", "recap-spawn", "recap-parked", "recap-launcher"});
    const std::string before = readFile(binDir() / "recap-launcher");
    Arena arena(std::nullopt);
    const std::size_t from = prober.mark();
    for (int i = 0; i < rounds(50); ++i) arena.run(joining(arena, target, {"exit"}), target);
    rest(arena, prober, joining(arena, target, {"rest"}), target.pid());
    EXPECT_EQ(prober.gained(from), "");
    EXPECT_TRUE(readFile(binDir() / "recap-launcher") == before) << "the program has changed";
}

// After it executed, a capsule with the target's own identity would be the target's to trace: by default it is not among its processes.
TEST(T2, ARunningCapsuleIsNotAmongTheTargetsProcesses) {
    const MicroContainer target(kRoot);
    Prober prober(target, {"probe", "payload", "capsule-init"});
    expectInVain(Threat::TracingAfterExec,
                 [&](Arena& arena, Score& score) {
                     const std::size_t before = prober.mark();
                     while (goOn(arena, score, 20)) {
                         rest(arena, prober, arena.plan(target, {"rest"}), target.pid());
                         const std::string how = prober.gained(before);
                         score.attempt(!how.empty(), how);
                     }
                 },
                 {.targets = {target.pid()}});
}

// No flag of a process's own keeps out who may trace everything.
TEST(T3, NothingJoinsATargetThatMayTraceEverything) {
    ContainerOptions options = kRoot;
    options.capabilities = {"CAP_SYS_PTRACE"};
    const MicroContainer target(options);
    Prober prober(target, {"probe", "payload", "capsule-init", "recap-spawn", "recap-parked"});
    expectInVain(Threat::TracingTarget,
                 [&](Arena& arena, Score& score) {
                     const std::size_t before = prober.mark();
                     while (goOn(arena, score, 20)) {
                         Plan plan = joining(arena, target, {"rest"});
                         std::string refusal;
                         try {
                             rest(arena, prober, plan, target.pid());
                         } catch (const std::runtime_error& error) {
                             refusal = error.what();
                         }
                         EXPECT_TRUE(arena.weakened() || refusal.find("CAP_SYS_PTRACE") != std::string::npos) << refusal;
                         rest(arena, prober, arena.plan(target, {"rest"}), target.pid());  // processes = observe is for such targets
                         const std::string how = prober.gained(before);
                         score.attempt(!how.empty(), how);
                     }
                 },
                 {.targets = {target.pid()}});
}

// Who may trace everything need not be in the pid namespace that is joined: those that it is nested in see into it.
TEST(T3, NothingJoinsATargetThatIsNestedInOneThatMayTraceEverything) {
    ContainerOptions options = kRoot;
    options.capabilities = {"CAP_SYS_PTRACE"};
    const MicroContainer target(options);
    const Child outer(
        Command{.argv = {"nsenter", "--target", std::to_string(target.pid()), "--pid", "--net", "--ipc", "--uts", "unshare", "--pid",
                         "--mount", "--fork", "setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all", "sh", "-ec",
                         "mount --rbind $0 $0; cd $0; /sbin/pivot_root . tmp; exec /bin/sleep 86408", target.rootfs()}});
    pid_t nested = 0;
    ASSERT_TRUE(waitUntil(
        [&] {
            for (const Process& process : allProcesses())
                if (process.name == "sleep" &&
                    readFile("/proc/" + std::to_string(process.pid) + "/cmdline").find("86408") != std::string::npos)
                    nested = process.pid;
            return nested != 0;
        },
        Deadline{kPatience}));
    Prober prober(target, {"probe", "payload", "capsule-init", "recap-spawn", "recap-parked"});
    expectInVain(Threat::TracingTarget,
                 [&](Arena& arena, Score& score) {
                     const std::size_t before = prober.mark();
                     const auto joiningNested = [&](const std::string& word) {
                         Plan plan = planFor(arena.client(), arena.launcher(), nested, {word});
                         plan.processes = launcher::Processes::Join;
                         plan.namespaces |= launcher::kNsPid;
                         return plan;
                     };
                     if (!arena.weakened()) {
                         const launcher::Report refused = runPlan(arena.client(), joiningNested("exit"), nested).report;
                         EXPECT_EQ(refused.error, EPERM) << refused.step;
                         EXPECT_THAT(refused.step, ::testing::HasSubstr("may trace"));
                     }
                     while (goOn(arena, score, 20)) {
                         rest(arena, prober, joiningNested("rest"), nested);
                         const std::string how = prober.gained(before);
                         score.attempt(!how.empty(), how);
                     }
                 },
                 {.targets = {target.pid()}});
    ::kill(nested, SIGKILL);
}

// Who is traced by a process that never waits for it can't be reaped by its parent.
TEST(T14, ATracerKeepsNoRunFromEnding) {
    const MicroContainer target(kRoot);
    expectInVain(Threat::PinnedZombie, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 3)) {
            Prober holder(target, {"hold", "payload"});
            const Plan plan = joining(arena, target, {"rest"});
            const auto log = startPlan(arena.client(), plan, target.pid());
            ASSERT_TRUE(log) << log.error().message;
            ASSERT_TRUE(holder.says("held"));
            ASSERT_TRUE(arena.client().ask<launcher::Empty>(Verb::Stop, launcher::StopRequest{plan.runId, 0}));
            bool ended = true;
            try {
                const launcher::Report report = finish(arena.client(), plan.runId, log->get()).report;
                EXPECT_EQ(report.end, End::Stopped);
                EXPECT_THAT(report.left, ::testing::ElementsAre(::testing::StartsWith("zombie "))) << "it is there, and named";
                static_cast<void>(arena.client().ask<launcher::Empty>(Verb::Ack, launcher::RunRef{plan.runId}));
            } catch (const std::runtime_error&) {
                ended = false;
            }
            score.attempt(!ended, "the run never ends");
        }
    });
}

}  // namespace
}  // namespace recap::test
