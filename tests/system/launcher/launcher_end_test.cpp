// SPDX-License-Identifier: Apache-2.0
// How runs end: by themselves, by request, by deadline, with their target, with their launcher; and that nothing is left.
#include <csignal>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::IsEmpty;

class LauncherEnd : public LauncherTest {};

TEST_F(LauncherEnd, ADeadlineEndsWhatIgnoresEverySignal) {
    Plan asked = plan({"ignore"});
    asked.timeoutUsec = shortly();
    const Report report = endOf(startAndHear(asked, nginx_->pid(), "ignoring"));
    EXPECT_EQ(report.end, End::TimedOut);
    EXPECT_EQ(report.value, 128 + SIGKILL);
}

TEST_F(LauncherEnd, OrphansOfAPayloadThatEndedGoWithIt) {
    const Report report = endOf(startAndHear(plan({"double-fork"}), nginx_->pid(), "forked"));
    EXPECT_EQ(report.end, End::Exited);
    EXPECT_EQ(report.value, 0);
}

TEST_F(LauncherEnd, ADeadlineEndsOrphansInSessionsOfTheirOwn) {
    Plan asked = plan({"double-fork", "stay"});
    asked.timeoutUsec = shortly();
    EXPECT_EQ(endOf(startAndHear(asked, nginx_->pid(), "forked")).end, End::TimedOut);
}

TEST_F(LauncherEnd, ADeadlineEndsAForkBombThatStaysWithinItsLimit) {
    Plan asked = plan({"fork-bomb"});
    asked.timeoutUsec = shortly();
    asked.limits.pids = 40;
    const Report report = endOf(startAndHear(asked, nginx_->pid(), "forking"));
    EXPECT_EQ(report.end, End::TimedOut);
    EXPECT_LE(report.pidsPeak, 40u);
}

TEST_F(LauncherEnd, ADeadlineEndsAPayloadThatOnlyBurnsTime) {
    Plan asked = plan({"spin"});
    asked.timeoutUsec = shortly();
    const Report report = endOf(startAndHear(asked, nginx_->pid(), "spinning"));
    EXPECT_EQ(report.end, End::TimedOut);
    EXPECT_EQ(report.value, 128 + SIGTERM) << "it does not ignore TERM";
}

TEST_F(LauncherEnd, MemoryBeyondTheLimitEndsTheCapsuleAndNotItsTarget) {
    Plan asked = plan({"memory", "256"});
    asked.limits.memory = 32u << 20;
    const Finished finished = run(asked);
    EXPECT_EQ(finished.report.end, End::Signalled);
    EXPECT_EQ(finished.report.value, SIGKILL);
    EXPECT_TRUE(finished.report.outOfMemory);
    EXPECT_EQ(nginx_->get().status, 200);
}

TEST_F(LauncherEnd, StopSendsTermAndThenKills) {
    const std::string run = startAndHear(plan({"ignore"}), nginx_->pid(), "ignoring");
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 100'000}));
    const Report report = endOf(run);
    EXPECT_EQ(report.end, End::Stopped);
    EXPECT_EQ(report.value, 128 + SIGKILL);
}

// A stop with a long grace must not give a payload more time than its deadline and grace do.
TEST_F(LauncherEnd, StopDoesNotPutTheDeadlineOff) {
    Plan asked = plan({"ignore"});
    asked.timeoutUsec = 3 * shortly();
    asked.graceUsec = 100'000;
    const std::string run = startAndHear(asked, nginx_->pid(), "ignoring");
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 60'000'000}));
    EXPECT_EQ(endOf(run).end, End::Stopped);  // within the test's patience, which is less than a minute
}

TEST_F(LauncherEnd, SignalReachesThePayloadItself) {
    const std::string run = startAndHear(plan({"rest"}), nginx_->pid(), "resting");
    ASSERT_TRUE(client_->ask<Empty>(Verb::Signal, SignalRequest{run, SIGUSR1}));
    const Report report = endOf(run);
    EXPECT_EQ(report.end, End::Signalled);
    EXPECT_EQ(report.value, SIGUSR1);
}

TEST_F(LauncherEnd, ATargetThatEndsTakesItsCapsulesWithIt) {
    MicroContainer other{{.kind = "busybox"}};
    const Plan asked = planFor(*client_, *launcher_, other.pid(), {"ignore"});
    const std::string run = startAndHear(asked, other.pid(), "ignoring");
    other.kill();
    EXPECT_EQ(endOf(run).end, End::TargetGone);
}

TEST_F(LauncherEnd, ARunOutlivesTheClientThatAskedForIt) {
    Plan bound = plan({"rest"});
    bound.callerUid = 1234;
    bound.boundTo = ":1.7";
    const std::string run = startAndHear(std::move(bound), nginx_->pid(), "resting");
    client_ = std::make_unique<LauncherClient>(launcher_->socket());
    ASSERT_TRUE(client_->ask<Hello>(Verb::Hello, Hello{}));
    // The payload may be heard before the launcher is told that it executes.
    Result<RunList> all;
    ASSERT_TRUE(waitUntil(
        [&] {
            all = client_->ask<RunList>(Verb::List, RunRef{});
            return !all || all->runs.size() != 1 || all->runs[0].phase == RunPhase::Executing;
        },
        Deadline{kPatience}));
    ASSERT_TRUE(all) << all.error().message;
    ASSERT_EQ(all->runs.size(), 1u);
    EXPECT_EQ(all->runs[0].report.runId, run);
    EXPECT_EQ(all->runs[0].capsule, "test");
    EXPECT_EQ(all->runs[0].callerUid, 1234u);
    EXPECT_EQ(all->runs[0].boundTo, ":1.7");
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 1'000'000}));
    EXPECT_EQ(endOf(run).end, End::Stopped);
}

TEST_F(LauncherEnd, AnEndThatNobodyHeardIsKeptUntilItIsAcknowledged) {
    const std::string run = startAndHear(plan({"rest"}), nginx_->pid(), "resting");
    const UniqueFd payload = openPidfd(payloadOf(run));
    client_.reset();
    ::kill(payloadOf(run), SIGKILL);
    ASSERT_TRUE(waitForExit(payload.get(), Deadline{kPatience}));
    client_ = std::make_unique<LauncherClient>(launcher_->socket());
    ASSERT_TRUE(client_->ask<Hello>(Verb::Hello, Hello{}));
    RunState state;
    EXPECT_TRUE(waitUntil(
        [&] {
            const auto all = client_->ask<RunList>(Verb::List, RunRef{});
            if (!all || all->runs.size() != 1) return false;
            state = all->runs[0];
            return state.phase == RunPhase::Finished;
        },
        Deadline{kPatience}));
    EXPECT_EQ(state.report.end, End::Signalled);
    EXPECT_EQ(state.report.value, SIGKILL);
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{run}));
    const auto after = client_->ask<RunList>(Verb::List, RunRef{});
    EXPECT_TRUE(after && after->runs.empty());
}

// By itself, without the unit's KillMode: what a dead launcher left is swept by the next one's start.
TEST(LauncherSweep, TheNextStartSweepsWhatAKilledLauncherLeft) {
    const MicroContainer nginx;
    OwnLauncher launcher;
    const Outside outside{{.targets = {nginx.pid()}, .cgroupRoots = launcher.cgroupRoots(), .contents = {nginx.rootfs()}}};
    const Picture before = lookWhenQuiet(outside);
    auto client = std::make_unique<LauncherClient>(launcher.socket());
    const Plan asked = planFor(*client, launcher, nginx.pid(), {"double-fork", "stay"});
    ASSERT_TRUE(startPlan(*client, asked, nginx.pid()));
    client->waitFor(asked.runId, RunPhase::Executing);
    client.reset();
    launcher.killHard();
    launcher.start();
    EXPECT_THAT(leftAfter(outside, before), IsEmpty()) << launcher.output();
    EXPECT_EQ(nginx.get().status, 200);
}

}  // namespace
}  // namespace recap::test
