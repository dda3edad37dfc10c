// SPDX-License-Identifier: Apache-2.0
// Attacks by a capsule that takes all it can get: T22.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/hostile/arena.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

using launcher::Plan;

constexpr int kPids = 16;
constexpr std::uint64_t kMegabyte = 1 << 20;

Plan forking(Arena& arena, const MicroContainer& target, const char* children) {
    Plan plan = arena.plan(target, {"children", children});
    plan.limits.pids = kPids;
    plan.timeoutUsec = 500'000;
    return plan;
}

void judgeForks(Score& score, const Finished& finished) {
    const auto said = values(finished.out);
    ASSERT_TRUE(said.contains("children"));
    score.attempt(std::stoi(said.at("children")) > kPids, said.at("children") + " children where 16 processes are allowed");
}

Plan eating(Arena& arena, const MicroContainer& target) {
    Plan plan = arena.plan(target, {"memory", "128"});
    plan.limits.memory = 32 * kMegabyte;
    return plan;
}

void judgeMemory(Score& score, const Finished& finished) {
    score.attempt(finished.out.find("eaten") != std::string::npos, "128 MiB where 32 are allowed");
}

// Of a log, so far.
std::string contentOf(const UniqueFd& log) {
    std::string bytes(4096, '\0');
    const ssize_t got = ::pread(log.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
}

TEST(T22, NoMoreProcessesThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 6)) judgeForks(score, arena.run(forking(arena, target, "200"), target));
                 },
                 {.targets = {target.pid()}});
}

TEST(T22, NoMoreMemoryThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 6)) {
                         const Finished finished = arena.run(eating(arena, target), target);
                         EXPECT_TRUE(arena.weakened() || finished.report.outOfMemory);
                         judgeMemory(score, finished);
                     }
                 },
                 {.targets = {target.pid()}});
}

// Of two seconds a tenth.
TEST(T22, NoMoreProcessorThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 2)) {
                         Plan plan = arena.plan(target, {"spin"});
                         plan.limits.cpuMilli = 100;
                         plan.timeoutUsec = 2'000'000;
                         plan.graceUsec = 0;
                         const auto used = arena.run(plan, target).report.cpuUsec;
                         EXPECT_GT(used, 0u);
                         score.attempt(used > 600'000, std::to_string(used) + " us of processor time in 2 s where 200 ms are allowed");
                     }
                 },
                 {.targets = {target.pid()}});
}

TEST(T22, NoMoreScratchThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 6)) {
                         Plan fill = arena.plan(target, {"fill", "/tmp/filled"});
                         fill.limits.scratch = 4 * kMegabyte;
                         const auto filled = values(arena.run(fill, target).out);
                         ASSERT_TRUE(filled.contains("written"));
                         score.attempt(std::stoi(filled.at("written")) > 4096,
                                       filled.at("written") + " of scratch where 4 MiB are allowed");
                     }
                 },
                 {.targets = {target.pid()}});
}

TEST(T22, NoMoreFilesThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 3)) {
            Plan plan = arena.plan(target, {"files", "/tmp", "8000"});
            plan.limits.scratch = 4 * kMegabyte;
            const auto made = values(arena.run(plan, target).out);
            ASSERT_TRUE(made.contains("files"));
            score.attempt(std::stoi(made.at("files")) > 1024, made.at("files") + " files in 4 MiB of scratch");
        }
    });
}

TEST(T22, NoMoreOutputThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 6)) {
                         Plan plan = arena.plan(target, {"flood", std::to_string(8 * kMegabyte)});
                         plan.logMax = kMegabyte;
                         const Finished finished = arena.run(plan, target);
                         EXPECT_EQ(finished.report.end, launcher::End::Exited);
                         EXPECT_TRUE(arena.weakened() || finished.report.logTruncated);
                         score.attempt(finished.out.size() > kMegabyte,
                                       std::to_string(finished.out.size()) + " bytes kept where 1 MiB are");
                     }
                 },
                 {.targets = {target.pid()}});
}

// All of that by many at once, and the target answers meanwhile as if nothing were.
TEST(T22, ManyAtOnceAreNothingToTheirTarget) {
    const MicroContainer target;
    constexpr int kMany = 24;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, kMany)) {
                         std::vector<std::pair<std::string, UniqueFd>> runs;
                         for (int i = 0; i < kMany; ++i) {
                             Plan plan = i % 2 == 0 ? forking(arena, target, "40") : eating(arena, target);
                             plan.timeoutUsec = 60'000'000;
                             auto log = startPlan(arena.client(), plan, target.pid());
                             ASSERT_TRUE(log) << log.error().message;
                             runs.emplace_back(plan.runId, std::move(*log));
                         }
                         EXPECT_EQ(target.get().status, 200);
                         for (int i = 0; i < kMany; ++i) {
                             const auto& [run, log] = runs[static_cast<std::size_t>(i)];
                             const auto forked = [&] { return contentOf(log).find("resting") != std::string::npos; };
                             if (i % 2 == 0) {
                                 EXPECT_TRUE(waitUntil(forked, Deadline{kPatience}));
                                 EXPECT_TRUE(arena.client().ask<launcher::Empty>(launcher::Verb::Stop, launcher::StopRequest{run, 0}));
                             }
                             const Finished finished = finish(arena.client(), run, log.get());
                             i % 2 == 0 ? judgeForks(score, finished) : judgeMemory(score, finished);
                             static_cast<void>(arena.client().ask<launcher::Empty>(launcher::Verb::Ack, launcher::RunRef{run}));
                         }
                     }
                 },
                 {.targets = {target.pid()}});
}

}  // namespace
}  // namespace recap::test
