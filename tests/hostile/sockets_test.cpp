// SPDX-License-Identifier: Apache-2.0
// T21: an abstract unix socket has no file and no mode; whoever is in the network namespace reaches it (CVE-2020-15257).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/hostile/arena.hpp"
#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"

namespace recap::test {
namespace {

using ::testing::HasSubstr;

TEST(T21, ACapsuleReachesNoAbstractSocketOfItsTarget) {
    const MicroContainer target;
    Child server(Command{.argv = {"nsenter", "--net=/proc/" + std::to_string(target.pid()) + "/ns/net", attacker().string(),
                                  "listen-abstract", "recap-hostile"}});
    ASSERT_TRUE(server.waitForOutput("listening", Deadline{kPatience}));
    expectInVain(Threat::AbstractSockets, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 50)) {
            launcher::Plan plan = arena.attack(target, {"connect-abstract", "recap-hostile"});
            plan.processes = launcher::Processes::None;
            const std::string said = arena.run(plan, target).out;
            EXPECT_THAT(said, ::testing::AnyOf(HasSubstr("SUCCESS"), HasSubstr("connect: "))) << said;
            score.attempt(said.find("SUCCESS connected") != std::string::npos, "connected to the target's abstract socket");
        }
    });
}

}  // namespace
}  // namespace recap::test
