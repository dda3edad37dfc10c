// SPDX-License-Identifier: Apache-2.0
// T21: an abstract unix socket has no file and no mode; whoever is in the network namespace reaches it (CVE-2020-15257).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/hostile/arena.hpp"
#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

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

Surroundings allowingTheHosts() {
    Surroundings around;
    around.ceiling.hostNamespaces = launcher::kNsNet | launcher::kNsPid;
    return around;
}

// The same where the ceiling lets a capsule into the host's network: there are containerd's shims, and the buses of users.
TEST(T21, ACapsuleInTheHostsNetworkReachesNoAbstractSocketOfTheHosts) {
    const MicroContainer target{{.kind = "busybox", .ofTheHost = {"network"}}};
    const std::string name = "recap-hostile-" + std::to_string(::getpid());
    Child server(Command{.argv = {attacker().string(), "listen-abstract", name}});
    ASSERT_TRUE(server.waitForOutput("listening", Deadline{kPatience}));
    expectInVain(
        Threat::AbstractSockets,
        [&](Arena& arena, Score& score) {
            for (const auto processes : {launcher::Processes::None, launcher::Processes::Observe}) {
                for (int i = 0; i < rounds(25) && !(arena.weakened() && i > 0); ++i) {
                    launcher::Plan plan = arena.attack(target, {"connect-abstract", name});
                    plan.namespaces = launcher::kNsNet;
                    plan.processes = processes;
                    const std::string said = arena.run(plan, target).out;
                    EXPECT_THAT(said, ::testing::AnyOf(HasSubstr("SUCCESS"), HasSubstr("connect: "))) << said;
                    attemptEach(arena, score, said.find("SUCCESS connected") != std::string::npos, "connected to a socket of the host's");
                }
            }
        },
        allowingTheHosts());
}

// Whoever has a host process's uid could read its memory, and the host's files by its root, if it might look into it.
TEST(T21, ACapsuleThatSeesTheHostsProcessesLooksIntoNone) {
    const MicroContainer target{{.kind = "busybox", .ofTheHost = {"pid"}}};
    const Child kin(
        Command{.argv = {"setpriv", "--reuid=101", "--regid=101", "--clear-groups", "env", "-i", "SECRET=of-the-host", "sleep", "1000"}});
    const std::string at = "/proc/" + std::to_string(kin.pid());
    ASSERT_TRUE(waitUntil([&] { return processOf(kin.pid())->name == "sleep"; }, Deadline{kPatience}));
    expectInVain(
        Threat::AbstractSockets,
        [&](Arena& arena, Score& score) {
            while (goOn(arena, score, 25)) {
                for (const char* file : {"/comm", "/environ"}) {
                    launcher::Plan plan = arena.plan(target, {"cat", at + file});
                    plan.namespaces = 0;
                    const Finished finished = arena.run(plan, target);
                    if (file == std::string("/comm"))
                        EXPECT_EQ(finished.out, "sleep\n") << "it is seen: " << finished.err;
                    else
                        score.attempt(finished.out.find("of-the-host") != std::string::npos,
                                      "read the environment of a process of the host's");
                }
            }
        },
        allowingTheHosts());
}

}  // namespace
}  // namespace recap::test
