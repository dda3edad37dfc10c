// SPDX-License-Identifier: Apache-2.0
// Attacks by a capsule that takes all it can get: T22.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/hostile/arena.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

using launcher::Plan;

constexpr int kPids = 16;
constexpr std::uint64_t kMegabyte = 1 << 20;

Plan forking(Arena& arena, const MicroContainer& target, const char* children) {
    Plan plan = arena.plan(target, {"children", children});
    plan.limits.pids = kPids;
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

Plan filling(Arena& arena, const MicroContainer& target) {
    Plan plan = arena.plan(target, {"fill", "/tmp/filled"});
    plan.limits.scratch = 4 * kMegabyte;
    return plan;
}

void judgeScratch(Score& score, const Finished& finished) {
    const auto filled = values(finished.out);
    ASSERT_TRUE(filled.contains("written"));
    score.attempt(std::stoi(filled.at("written")) > 4096, filled.at("written") + " of scratch where 4 MiB are allowed");
}

Plan flooding(Arena& arena, const MicroContainer& target) {
    Plan plan = arena.plan(target, {"flood", std::to_string(8 * kMegabyte)});
    plan.logMax = kMegabyte;
    return plan;
}

void judgeOutput(Score& score, const Finished& finished) {
    score.attempt(finished.out.size() > kMegabyte, std::to_string(finished.out.size()) + " bytes kept where 1 MiB are");
}

// Of a log, so far.
std::string contentOf(const UniqueFd& log) {
    std::string bytes(4096, '\0');
    const ssize_t got = ::pread(log.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
}

// Until it has made all the processes that it could, and rests.
Finished endOfForking(Arena& arena, const std::string& run, const UniqueFd& log) {
    EXPECT_TRUE(waitUntil([&] { return contentOf(log).find("resting") != std::string::npos; }, Deadline{kPatience}));
    EXPECT_TRUE(arena.client().ask<launcher::Empty>(launcher::Verb::Stop, launcher::StopRequest{run, 0}));
    return finish(arena.client(), run, log.get());
}

TEST(T22, NoMoreProcessesThanAllowed) {
    const MicroContainer target;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     while (goOn(arena, score, 6)) {
                         const Plan plan = forking(arena, target, "200");
                         const auto log = startPlan(arena.client(), plan, target.pid());
                         ASSERT_TRUE(log) << log.error().message;
                         judgeForks(score, endOfForking(arena, plan.runId, *log));
                         static_cast<void>(arena.client().ask<launcher::Empty>(launcher::Verb::Ack, launcher::RunRef{plan.runId}));
                     }
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
                     while (goOn(arena, score, 6)) judgeScratch(score, arena.run(filling(arena, target), target));
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
                         const Finished finished = arena.run(flooding(arena, target), target);
                         EXPECT_EQ(finished.report.end, launcher::End::Exited);
                         EXPECT_TRUE(arena.weakened() || finished.report.logTruncated);
                         judgeOutput(score, finished);
                     }
                 },
                 {.targets = {target.pid()}});
}

// How often the kernel refused a process's own cgroup memory, or killed for it; empty where it has none of its own.
std::string shortagesOf(pid_t pid) {
    std::string found;
    for (const std::string& line : lines(processOf(pid)->cgroups)) {
        const std::string path = line.substr(line.rfind(':') + 1);
        if (path.size() < 2) continue;
        const std::filesystem::path folder = line.starts_with("0::")
                                                 ? unifiedCgroups().string() + path
                                                 : (line.find(":memory:") != std::string::npos ? "/sys/fs/cgroup/memory" + path : "");
        for (const char* file : {"memory.events", "memory.failcnt", "memory.oom_control"})
            if (!folder.empty() && std::filesystem::exists(folder / file)) found += readFile(folder / file);
    }
    return found;
}

struct Greedy {
    Plan (*make)(Arena& arena, const MicroContainer& target);
    void (*judge)(Score& score, const Finished& finished);
    bool rests;  // until it is stopped
};

constexpr Greedy kGreedy[] = {
    {[](Arena& arena, const MicroContainer& target) { return forking(arena, target, "40"); }, judgeForks, true},
    {eating, judgeMemory, false},
    {filling, judgeScratch, false},
    {flooding, judgeOutput, false},
};

struct Running {
    const Greedy& greedy;
    std::string id;
    UniqueFd log;
};

void startAll(Arena& arena, const MicroContainer& target, int many, std::vector<Running>& runs) {
    for (int i = 0; i < many; ++i) {
        const Greedy& greedy = kGreedy[static_cast<std::size_t>(i) % std::size(kGreedy)];
        Plan plan = greedy.make(arena, target);
        plan.timeoutUsec = 60'000'000;
        auto log = startPlan(arena.client(), plan, target.pid());
        ASSERT_TRUE(log) << log.error().message;
        runs.push_back({greedy, plan.runId, std::move(*log)});
    }
}

Finished endOf(Arena& arena, const Running& run) {
    Finished finished = run.greedy.rests ? endOfForking(arena, run.id, run.log) : finish(arena.client(), run.id, run.log.get());
    static_cast<void>(arena.client().ask<launcher::Empty>(launcher::Verb::Ack, launcher::RunRef{run.id}));
    return finished;
}

// All of that by many at once, and the target answers meanwhile as if nothing were, and is short of nothing.
TEST(T22, ManyAtOnceAreNothingToTheirTarget) {
    const MicroContainer target;
    constexpr int kMany = 24;
    expectInVain(Threat::Exhaustion,
                 [&](Arena& arena, Score& score) {
                     const std::string before = shortagesOf(target.pid());
                     while (goOn(arena, score, kMany)) {
                         std::vector<Running> runs;
                         startAll(arena, target, kMany, runs);
                         for (const Running& run : runs) {
                             EXPECT_EQ(target.get().status, 200);
                             run.greedy.judge(score, endOf(arena, run));
                         }
                     }
                     EXPECT_TRUE(arena.weakened() || shortagesOf(target.pid()) == before) << before << shortagesOf(target.pid());
                 },
                 {.targets = {target.pid()}});
}

}  // namespace
}  // namespace recap::test
