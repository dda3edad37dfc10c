// SPDX-License-Identifier: Apache-2.0
// Attacks on what happens inside a target's namespaces: T13, T15, T17, T18.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <stdexcept>

#include "tests/hostile/prober.hpp"
#include "tests/support/proc.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using launcher::End;
using launcher::Plan;
using launcher::Processes;
using launcher::RunPhase;
using launcher::Verb;

Plan joining(Arena& arena, const MicroContainer& target, std::vector<std::string> words) {
    Plan plan = arena.plan(target, std::move(words));
    plan.processes = Processes::Join;
    plan.namespaces |= launcher::kNsPid;
    return plan;
}

std::ptrdiff_t zombiesOf(pid_t parent) {
    return std::ranges::count_if(childrenOf(parent), [](pid_t pid) { return processOf(pid) && processOf(pid)->state == 'Z'; });
}

// What is killed after its init becomes the target's, whose first process may wait for nobody.
TEST(T13, NoZombieIsLeftInATarget) {
    expectInVain(Threat::Zombies, [](Arena& arena, Score& score) {
        const MicroContainer target({.kind = "busybox"});
        while (goOn(arena, score, 20)) {
            Plan plan = joining(arena, target, {"double-fork", "stay"});
            plan.timeoutUsec = 200'000;
            plan.graceUsec = 0;
            EXPECT_EQ(arena.run(plan, target).report.end, End::TimedOut);
            const auto zombies = zombiesOf(target.pid());
            score.attempt(zombies != 0, std::to_string(zombies) + " zombies under the target's first process");
        }
    });
}

// When a run ended; none: it does not.
std::optional<std::uint64_t> finishedAt(Arena& arena, const Plan& plan, const MicroContainer& target) {
    try {
        const Finished finished = arena.run(plan, target);
        EXPECT_EQ(finished.report.end, End::Exited);
        return finished.report.finished;
    } catch (const std::runtime_error&) {
        return {};
    }
}

// Root in the target stops what comes into its pid namespace: nobody else's capsule waits for that.
TEST(T15, ATargetThatStopsEverythingHoldsUpNobodyElse) {
    const MicroContainer other;
    const TempDir folder{"recap-attacks"};
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    std::filesystem::copy_file(attacker(), folder.path() / "attacker");
    expectInVain(Threat::Stalling, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 3)) {
            const MicroContainer hostile({.kind = "busybox",
                                          .argv = {"/bin/sh", "-c", "sleep 86401 & exec /attacks/attacker stop-all"},
                                          .uid = 0,
                                          .gid = 0,
                                          .volumes = {{folder.path(), "/attacks"}}});
            std::vector<std::string> held;
            for (int i = 0; i < 12; ++i) {  // more than there are workers, parked ones too
                Plan plan = joining(arena, hostile, {"rest"});
                plan.timeoutUsec = 2'000'000;
                try {
                    if (startPlan(arena.client(), plan, hostile.pid())) held.push_back(plan.runId);
                } catch (const std::runtime_error&) {
                    return score.attempt(true, "no START is answered any more");
                }
            }
            ASSERT_FALSE(held.empty());
            const auto finished = finishedAt(arena, arena.plan(other, {"exit"}), other);
            // The launcher does not come out of this by itself: the container's end ends what it stopped.
            if (!finished) return score.attempt(true, "a run on another target waits for ever");
            std::uint64_t first = UINT64_MAX;
            for (const std::string& run : held) {
                first = std::min(first, finish(arena.client(), run, -1).report.finished);
                static_cast<void>(arena.client().ask<launcher::Empty>(Verb::Ack, launcher::RunRef{run}));
            }
            score.attempt(*finished > first, "a run on another target waited for one on this");
        }
    });
}

// A target that goes elsewhere between the look at it and the join.
TEST(T17, NoNamespaceIsJoinedThatWasNotLookedAt) {
    const MicroContainer target({.kind = "busybox", .uid = 0, .gid = 0, .capabilities = {"CAP_SYS_ADMIN"}, .readOnlyRoot = false});
    std::filesystem::copy_file(attacker(), target.rootfs() / "attacker");
    expectInVain(Threat::SwappedTarget, [&](Arena& arena, Score& score) {
        auto argv = runtimeCommand("runc", target.runtimeRoot());
        for (const char* word : {"exec", target.name().c_str(), "/attacker", "swap-net"}) argv.emplace_back(word);
        const Child swapper(Command{.argv = argv});
        pid_t hopping = 0;
        ASSERT_TRUE(waitUntil(
            [&] {
                for (const Process& process : allProcesses())
                    if (process.name == "attacker" && process.state != 'Z' &&
                        namespaceOf(process.pid, "pid") == namespaceOf(target.pid(), "pid"))
                        hopping = process.pid;
                return hopping != 0;
            },
            Deadline{kPatience}));
        int ran = 0;
        while (goOn(arena, score, 200)) {
            try {
                Plan plan = planFor(arena.client(), arena.launcher(), hopping, {"ids", "/proc/self/ns/net"});
                plan.processes = Processes::None;
                const std::uint64_t seen = plan.expected[1];  // net
                const Finished finished = runPlan(arena.client(), plan, hopping);
                ran += finished.report.end == End::Exited;
                const auto ids = values(finished.out);
                const auto found = ids.find("/proc/self/ns/net");
                const bool elsewhere = found != ids.end() && found->second.substr(found->second.find(':') + 1) != std::to_string(seen);
                score.attempt(elsewhere, "joined a network namespace that nobody looked at");
            } catch (const std::runtime_error&) {
                score.attempt(false, "");  // refused, or it went while it was looked at
            }
        }
        EXPECT_TRUE(arena.weakened() || ran > 0) << "none of " << score.attempts << " ran: not one was made while the target stayed";
        ::kill(hopping, SIGKILL);
    });
}

// A process that is in a chroot when it is looked at, and has the host's root when its files are.
TEST(T17, TheHostsFilesAreNotShown) {
    const TempDir host{"recap-outside"};
    fs::create_directories(host.path() / "root/tmp");
    writeFile(host.path() / "mark", "the host's own\n");
    for (const auto& folder : {host.path(), host.path() / "root"}) fs::permissions(folder, fs::perms(0755));
    const std::string mark = "/target" + (host.path() / "mark").string();
    expectInVain(Threat::SwappedTarget, [&](Arena& arena, Score& score) {
        const Child flipping(Command{.argv = {"unshare", "--mount", attacker().string(), "flip-root", (host.path() / "root").string()}});
        ASSERT_TRUE(waitUntil([&] { return processOf(flipping.pid())->name == "recap-test-atta"; }, Deadline{kPatience}));
        int ran = 0;
        while (goOn(arena, score, 200)) {
            Plan plan = planFor(arena.client(), arena.launcher(), flipping.pid(), {"cat", mark});
            plan.view = launcher::View::ReadOnly;
            plan.processes = Processes::None;
            plan.namespaces = 0;
            plan.uid = plan.gid = 101;
            try {
                const Finished finished = runPlan(arena.client(), plan, flipping.pid());
                ran += finished.report.end == End::Exited;
                score.attempt(finished.out == "the host's own\n", "the host's files are in the view");
            } catch (const std::runtime_error&) {
                score.attempt(false, "");  // refused
            }
        }
        EXPECT_TRUE(arena.weakened() || (ran > 0 && ran < score.attempts)) << ran << " of " << score.attempts << " ran: no race";
    });
}

// A container that shares a namespace with the host is none that capsules may be given that one of.
TEST(T17, TheHostsNamespacesAreNotJoined) {
    const std::vector<std::string> kinds{"net", "ipc", "uts"};
    const std::uint32_t bits[] = {launcher::kNsNet, launcher::kNsIpc, launcher::kNsUts};
    expectInVain(Threat::SwappedTarget, [&](Arena& arena, Score& score) {
        for (std::size_t shared = 0; shared < kinds.size(); ++shared) {
            std::vector<std::string> words{"unshare", "--mount", "--pid", "--fork", "--kill-child"};
            for (std::size_t i = 0; i < kinds.size(); ++i)
                if (i != shared) words.push_back("--" + kinds[i]);
            words.insert(words.end(), {"sleep", "1000"});
            Child process(Command{.argv = words});
            pid_t target = 0;
            ASSERT_TRUE(waitUntil(
                [&] {
                    const auto children = childrenOf(process.pid());
                    target = children.empty() ? 0 : children.front();
                    return target != 0 && processOf(target) && processOf(target)->name == "sleep";
                },
                Deadline{kPatience}));
            Plan plan = planFor(arena.client(), arena.launcher(), target, {"exit"});
            plan.namespaces = bits[shared];
            const auto started = startPlan(arena.client(), plan, target);
            attemptEach(arena, score, started.has_value(), "the host's " + kinds[shared] + " namespace was joined");
            if (started)
                finish(arena.client(), plan.runId, -1);
            else
                EXPECT_THAT(started.error().message, ::testing::HasSubstr("host's " + kinds[shared] + " namespace"));
        }
    });
}

// Whoever enters a user namespace has every capability there, until they are given up.
TEST(T18, NoCapabilityIsKeptInATargetsUserNamespace) {
    const MicroContainer target({.kind = "busybox", .uid = 0, .gid = 0, .userNamespace = 3'000'000});
    expectInVain(Threat::UserNamespaces, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 20)) {
            Plan plan = arena.plan(target, {"self"});
            plan.namespaces |= launcher::kNsUser;
            const auto self = values(arena.run(plan, target).out);
            ASSERT_TRUE(self.contains("bounding"));
            for (const char* set : {"effective", "permitted", "inheritable", "ambient", "bounding"})
                score.attempt(self.at(set) != "0", std::string(set) + " is " + self.at(set));
        }
    });
}

}  // namespace
}  // namespace recap::test
