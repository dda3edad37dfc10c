// SPDX-License-Identifier: Apache-2.0
// How many capsules there is room for.
#include <sys/resource.h>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A launcher of its own: its ceiling has room for one.
TEST(LauncherCeiling, AsManyCapsulesAsItSaysAndAnotherWhenOneHasEnded) {
    const MicroContainer target{{.kind = "busybox"}};
    Ceiling one;
    one.maxRuns = 1;
    OwnLauncher launcher{one};
    LauncherClient client{launcher.socket()};
    ASSERT_TRUE(client.ask<Hello>(Verb::Hello, Hello{}));
    const Plan resting = planFor(client, launcher, target.pid(), {"rest"}), next = planFor(client, launcher, target.pid(), {"exit", "3"});
    auto log = startPlan(client, resting, target.pid());
    ASSERT_TRUE(log) << log.error().message;
    const auto refused = startPlan(client, next, target.pid());
    ASSERT_FALSE(refused);
    EXPECT_EQ(name(refused.error().code), "LimitExceeded");
    EXPECT_THAT(refused.error().message, HasSubstr("max.runs: 1 of 1"));
    EXPECT_TRUE(client.ask<Empty>(Verb::Stop, StopRequest{resting.runId, 0}));
    EXPECT_THAT(finish(client, resting.runId, log->get()).report.left, IsEmpty());
    EXPECT_EQ(runPlan(client, next, target.pid()).report.value, 3);
}

// Many ask at once, with few descriptors to be had: each is answered, those that live can be ended, and then there is room again.
TEST(LauncherCeiling, AsManyCapsulesAsThereAreDescriptorsFor) {
    constexpr std::size_t kAsked = 200, kAhead = 40;
    const MicroContainer target{{.kind = "busybox"}};
    OwnLauncher launcher;
    LauncherClient client{launcher.socket()};
    ASSERT_TRUE(client.ask<Hello>(Verb::Hello, Hello{}));
    const rlimit few{512, 512};
    ASSERT_EQ(::prlimit(launcher.pid(), RLIMIT_NOFILE, &few, nullptr), 0);
    const Plan usual = planFor(client, launcher, target.pid(), {"rest"});
    const UniqueFd pidfd = openPidfd(target.pid());
    std::vector<std::string> alive;
    std::size_t refused = 0;
    for (std::size_t asked = 0, answered = 0; answered < kAsked; ++answered) {
        for (; asked < std::min(kAsked, answered + kAhead); ++asked) {
            Plan next = usual;
            next.runId = freshRunId();
            ASSERT_TRUE(client.send(encode(Verb::Start, 1, next), {pidfd.get()}));
        }
        const auto started = decodeReply<Started>(client.reply().value().bytes);
        if (started) {
            alive.push_back(started->runId);
            continue;
        }
        ++refused;
        ASSERT_EQ(name(started.error().code), "LimitExceeded") << started.error().message;
        ASSERT_THAT(started.error().message, HasSubstr("RLIMIT_NOFILE is used up by"));
    }
    EXPECT_GT(alive.size(), 20u);
    EXPECT_GT(refused, 20u);
    for (const auto& run : alive) EXPECT_TRUE(client.ask<Empty>(Verb::Stop, StopRequest{run, 0}));
    for (const auto& run : alive) {
        EXPECT_THAT(client.waitFor(run, RunPhase::Finished).report.left, IsEmpty());
        EXPECT_TRUE(client.ask<Empty>(Verb::Ack, RunRef{run}));
    }
    EXPECT_EQ(runPlan(client, planFor(client, launcher, target.pid(), {"exit", "3"}), target.pid()).report.value, 3);
}

}  // namespace
}  // namespace recap::test
