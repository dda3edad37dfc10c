// SPDX-License-Identifier: Apache-2.0
// Attacks by a capsule's own program: T12, T20, T23. T22 is in exhaustion_test.cpp.
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

// A program of the host's that takes cores, where the machine is the tests' own (tests/vm): on any other the pattern stays as it is.
class CoreTaker {
public:
    CoreTaker() {
        if (std::getenv("RECAP_TEST_EMULATED") == nullptr) return;
        writeFile(folder_.path() / "take", "#!/bin/sh\n: >" + called().string() + "\ncat >/dev/null\n");
        std::filesystem::permissions(folder_.path() / "take", std::filesystem::perms(0755));
        before_ = readFile(kPattern);
        writeFile(kPattern, "|" + (folder_.path() / "take").string());
    }
    ~CoreTaker() {
        if (!before_.empty()) writeFile(kPattern, before_);
    }
    CoreTaker(const CoreTaker&) = delete;
    CoreTaker& operator=(const CoreTaker&) = delete;
    bool wasCalled() const { return std::filesystem::exists(called()); }

private:
    static constexpr const char* kPattern = "/proc/sys/kernel/core_pattern";
    std::filesystem::path called() const { return folder_.path() / "called"; }
    TempDir folder_{"recap-cores"};
    std::string before_;
};

// Where core_pattern is a pipe, a core that is dumped starts a program of the host's.
TEST(T23, ACapsuleThatCrashesDumpsNoCore) {
    const MicroContainer target;
    const CoreTaker taker;
    expectInVain(Threat::CoreHelper, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 20)) {
            Plan plan = arena.attack(target, {"crash"});
            plan.workdir = "/tmp";
            const auto how = arena.succeeds(plan, target);
            score.attempt(how.has_value(), how.value_or(""));
            score.attempt(taker.wasCalled(), "a program of the host's was started for it");
        }
        if (std::getenv("RECAP_TEST_EMULATED") != nullptr && arena.weakened()) {
            EXPECT_TRUE(taker.wasCalled()) << "nobody takes cores here: it shows nothing";
        }
    });
}

}  // namespace
}  // namespace recap::test
