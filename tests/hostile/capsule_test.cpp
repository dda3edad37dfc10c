// SPDX-License-Identifier: Apache-2.0
// Attacks by a capsule's own program: T12, T20, T22, T23.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/hostile/arena.hpp"

namespace recap::test {
namespace {

using launcher::Ceiling;
using launcher::Plan;

std::string hex(std::uint64_t value) {
    char text[20];
    std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
    return text;
}

// CVE-2022-24769, 27650, 29162: what a process may inherit was more than what it was given.
TEST(T12, ACapsuleHasExactlyTheCapabilitiesOfItsPlan) {
    const MicroContainer target;
    Surroundings around;
    around.ceiling.rootUser = true;
    around.targets = {target.pid()};
    expectInVain(
        Threat::Capabilities,
        [&](Arena& arena, Score& score) {
            std::mt19937_64 random(12);
            while (goOn(arena, score, 64)) {
                Plan plan = arena.plan(target, {"self"});
                plan.capabilities = random() & launcher::kDefaultCapabilities;
                const auto self = values(arena.run(plan, target).out);
                ASSERT_TRUE(self.contains("bounding"));
                const std::string given = hex(plan.capabilities);
                for (const char* set : {"effective", "permitted", "inheritable", "ambient"})
                    score.attempt(self.at(set) != given, std::string(set) + " is " + self.at(set) + " where " + given + " was given");
                score.attempt(self.at("bounding") != "0", "bounding is " + self.at("bounding"));
                EXPECT_EQ(self.at("securebits"), "b") << "SECBIT_NOROOT, that locked, and SECBIT_NO_SETUID_FIXUP_LOCKED";
            }
        },
        around);
}

// CVE-2019-10063, 2017-5226 and their like: what a filter compares is not what the kernel takes.
TEST(T20, NoForbiddenCallByAnyGateOrWidth) {
    const MicroContainer target;
    expectInVain(Threat::SeccompHoles,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 10)) {
                         for (const char* attack : {"calls", "int80"}) {
                             const auto how = arena.succeeds(arena.attack(target, {attack}), target);
                             score.attempt(how.has_value(), how.value_or(""));
                         }
                     }
                 },
                 {.targets = {target.pid()}});
}

TEST(T22, ACapsuleUsesNoMoreThanItsLimits) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 6)) {
                         Plan forks = arena.plan(target, {"children", "200"});
                         forks.limits.pids = 16;
                         forks.timeoutUsec = 500'000;
                         const auto said = values(arena.run(forks, target).out);
                         ASSERT_TRUE(said.contains("children"));
                         score.attempt(std::stoi(said.at("children")) > 16,
                                       said.at("children") + " children where 16 processes are allowed");
                         Plan eats = arena.plan(target, {"memory", "128"});
                         eats.limits.memory = 32u << 20;
                         score.attempt(arena.run(eats, target).out.find("eaten") != std::string::npos, "128 MiB where 32 are allowed");
                     }
                     EXPECT_EQ(target.get().status, 200);
                 },
                 {.targets = {target.pid()}});
}

// Where core_pattern is a pipe, a core that is dumped starts a program of the host's.
TEST(T23, ACapsuleThatCrashesDumpsNoCore) {
    const MicroContainer target;
    expectInVain(Threat::CoreHelper, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 20)) {
            Plan plan = arena.attack(target, {"crash"});
            plan.workdir = "/tmp";
            const auto how = arena.succeeds(plan, target);
            score.attempt(how.has_value(), how.value_or(""));
        }
    });
}

}  // namespace
}  // namespace recap::test
