// SPDX-License-Identifier: Apache-2.0
// That limits bite, by the kernel's own files, on whichever hierarchy has the controllers: the unified one in the virtual machine,
// version 1 on a hybrid host; and that the report tells what was used, where the kernel counts it.
#include <sys/stat.h>

#include <csignal>
#include <map>
#include <sstream>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using namespace launcher;
using ::testing::HasSubstr;
using ::testing::Not;

// The number behind a word in a file of the kernel's, or the whole file.
std::uint64_t numberIn(const fs::path& file, const std::string& word = {}) {
    std::istringstream text{readFile(file)};
    std::uint64_t number = 0;
    if (word.empty()) return text >> number ? number : 0;
    for (std::string key; text >> key >> number;)
        if (key == word) return number;
    return 0;
}

class LauncherLimits : public LauncherTest {
protected:
    // The run's folder that has one of these files of a controller's.
    static fs::path holding(const std::string& run, const std::vector<std::string>& files) {
        for (const fs::path& root : launcher_->cgroupRoots())
            for (const fs::path& folder : {root / "c" / run, root / run})
                for (const std::string& file : files)
                    if (fs::exists(folder / file)) return folder;
        throw std::runtime_error("no cgroup of the run has " + files.front());
    }
    bool counts(Feature feature) const { return (client_->ask<Hello>(Verb::Hello, Hello{}).value().features & feature) != 0; }
};

TEST_F(LauncherLimits, CapsulesAreBornInTheirCgroup) {
    EXPECT_TRUE(counts(kFeatureIntoCgroup));
    const std::string run = startAndHear(plan({"rest"}), nginx_->pid(), "resting");
    const auto payload = processOf(payloadOf(run));
    ASSERT_TRUE(payload);
    const auto init = processOf(payload->parent);
    ASSERT_TRUE(init);
    for (const auto& process : {*payload, *init}) EXPECT_THAT(process.cgroups, HasSubstr("/c/" + run)) << process.name;
    EXPECT_THAT(processOf(launcher_->pid())->cgroups, Not(HasSubstr(run)));
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 1'000'000}));
    endOf(run);
}

TEST_F(LauncherLimits, ControllersAreTheUnifiedOnesWhereThereAreNoOthers) {
    const std::string run = startAndHear(plan({"rest"}), nginx_->pid(), "resting");
    const bool unifiedOnly = unifiedCgroups() == "/sys/fs/cgroup";
    for (const char* file : {"pids.max", "memory.max", "cpu.max"}) {
        bool there = false;
        for (const fs::path& root : launcher_->cgroupRoots()) there = there || fs::exists(root / "c" / run / file);
        EXPECT_EQ(there, unifiedOnly) << file;
    }
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 1'000'000}));
    endOf(run);
}

// The lines of /proc/PID/cgroup of those that wait in cgroups of version 1 for a run, by pid.
std::map<pid_t, std::string> parkedBy(pid_t launcher) {
    std::map<pid_t, std::string> found;
    for (const Process& process : allProcesses())
        if (process.parent == launcher && process.name == "recap-parked" && process.cgroups.find("/parked-") != std::string::npos)
            found[process.pid] = process.cgroups;
    return found;
}

TEST_F(LauncherLimits, CapsulesAreBornInCgroupsOfVersion1WhereOneWaitedForThem) {
    const bool waits = unifiedCgroups() != "/sys/fs/cgroup" && launcher_->cgroupRoots().size() > 1;
    const auto filled = [&] { return parkedBy(launcher_->pid()).size() == (waits ? 4 : 0); };
    ASSERT_TRUE(waitUntil(filled, Deadline{kPatience})) << parkedBy(launcher_->pid()).size();
    auto before = parkedBy(launcher_->pid());
    const std::string run = startAndHear(plan({"rest"}), nginx_->pid(), "resting");
    const std::string cgroups = processOf(payloadOf(run))->cgroups;
    std::erase_if(before, [](const auto& one) { return processOf(one.first).has_value(); });
    ASSERT_EQ(before.size(), waits ? 1u : 0u) << "who let it be born where it was, and nobody else, has ended";
    for (const auto& [pid, was] : before) {
        const auto at = was.find("/parked-");
        const std::string name = was.substr(at + 1, was.find('\n', at) - at - 1);
        for (const fs::path& root : launcher_->cgroupRoots()) EXPECT_FALSE(fs::exists(root / name)) << root / name << " is the run's now";
        for (std::string line : lines(was)) {
            const auto here = line.find(name);
            if (here == std::string::npos) continue;
            EXPECT_THAT(cgroups, HasSubstr(line.replace(here, name.size(), run)));
        }
    }
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 1'000'000}));
    endOf(run);
    EXPECT_TRUE(waitUntil(filled, Deadline{kPatience})) << "the next one finds as many";
}

TEST_F(LauncherLimits, NoMoreProcessesThanThePlanSays) {
    Plan asked = plan({"children", "50"});
    asked.limits.pids = 10;
    const std::string run = startAndHear(asked, nginx_->pid(), "resting");
    EXPECT_THAT(said(), HasSubstr("children: 8\nerror: Resource temporarily unavailable")) << "beside capsule-init and itself";
    const fs::path cgroup = holding(run, {"pids.max"});
    EXPECT_EQ(numberIn(cgroup / "pids.current"), 10u);
    EXPECT_GE(numberIn(cgroup / "pids.events", "max"), 1u);
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 1'000'000}));
    EXPECT_EQ(endOf(run).pidsPeak, counts(kFeaturePidsPeak) ? 10u : 0u);
}

TEST_F(LauncherLimits, NoMoreMemoryThanThePlanSays) {
    Plan asked = plan({"memory", "256"});
    asked.limits.memory = 32u << 20;
    const Report report = run(asked).report;
    EXPECT_EQ(report.end, End::Signalled);
    EXPECT_EQ(report.value, SIGKILL);
    EXPECT_TRUE(report.outOfMemory);
    if (counts(kFeatureMemoryPeak)) {
        EXPECT_LE(report.memoryPeak, 33u << 20);
        EXPECT_GE(report.memoryPeak, 24u << 20);
    } else {
        EXPECT_EQ(report.memoryPeak, 0u);
    }
}

TEST_F(LauncherLimits, MemoryWithinTheLimitIsToldAndNotRefused) {
    Plan asked = plan({"memory", "16"});
    asked.limits.memory = 64u << 20;
    const Report report = run(asked).report;
    EXPECT_EQ(report.end, End::Exited);
    EXPECT_FALSE(report.outOfMemory);
    if (counts(kFeatureMemoryPeak)) {
        EXPECT_GE(report.memoryPeak, 16u << 20);
        EXPECT_LE(report.memoryPeak, 64u << 20);
    }
}

// A quarter of a CPU for one that would take a whole one: the kernel holds it back in period after period.
TEST_F(LauncherLimits, NoMoreOfACpuThanThePlanSays) {
    Plan asked = plan({"spin"});
    asked.limits.cpuMilli = 250;
    const std::string run = startAndHear(asked, nginx_->pid(), "spinning");
    const fs::path stat = holding(run, {"cpu.max", "cpu.cfs_quota_us"}) / "cpu.stat";
    EXPECT_TRUE(waitUntil([&] { return numberIn(stat, "nr_throttled") >= 3; }, Deadline{kPatience})) << readFile(stat);
    ASSERT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{run, 1'000'000}));
    const Report report = endOf(run);
    EXPECT_GT(report.cpuUsec, 50'000u);
    EXPECT_LT(report.cpuSystemUsec, report.cpuUsec);
}

// A log may be as large as its plan says, and all of them no larger than the ceiling says.
TEST_F(LauncherLimits, LogsOfRunsThatGoOnShareTheirMemory) {
    Ceiling ceiling;
    ceiling.estateMax = 1 << 20;
    OwnLauncher launcher(ceiling);
    LauncherClient client(launcher.socket());
    const auto flood = [&](const char* bytes) { return planFor(client, launcher, nginx_->pid(), {"flood", bytes, "stay"}); };
    const auto sizeOf = [](const UniqueFd& log) {
        struct stat info {};
        return ::fstat(log.get(), &info) == 0 ? info.st_size : 0;
    };
    const Plan first = flood("700000"), second = flood("700000");
    auto one = startPlan(client, first, nginx_->pid());
    ASSERT_TRUE(one);
    EXPECT_TRUE(waitUntil([&] { return sizeOf(*one) >= 700000; }, Deadline{kPatience}));
    auto other = startPlan(client, second, nginx_->pid());
    ASSERT_TRUE(other);
    EXPECT_TRUE(waitUntil([&] { return sizeOf(*one) + sizeOf(*other) > (1 << 20) - 4096; }, Deadline{kPatience}));
    const auto ended = [&](const Plan& plan, const UniqueFd& log) {
        EXPECT_TRUE(client.ask<Empty>(Verb::Stop, StopRequest{plan.runId, 0}));
        const Report report = finish(client, plan.runId, log.get()).report;
        EXPECT_TRUE(client.ask<Empty>(Verb::Ack, RunRef{plan.runId}));
        return report;
    };
    EXPECT_TRUE(ended(second, *other).logTruncated);
    EXPECT_LE(sizeOf(*one) + sizeOf(*other), 1 << 20);
    EXPECT_FALSE(ended(first, *one).logTruncated);

    const Plan third = flood("700000");  // there is room again
    auto again = startPlan(client, third, nginx_->pid());
    ASSERT_TRUE(again);
    EXPECT_TRUE(waitUntil([&] { return sizeOf(*again) >= 700000; }, Deadline{kPatience}));
    EXPECT_FALSE(ended(third, *again).logTruncated);
}

// Of many ticks of a clock: where the kernel's time is counted by these, less than one may be none.
TEST_F(LauncherLimits, TellsWhatOfItsTimeWasTheKernels) {
    Plan asked = plan({"files", "/tmp", "15000"});
    asked.limits.scratch = 64u << 20;
    const Report report = run(asked).report;
    EXPECT_GT(report.cpuUsec, 50'000u) << "it has too little to do for a clock that ticks";
    EXPECT_GT(report.cpuSystemUsec, 0u);
    EXPECT_LE(report.cpuSystemUsec, report.cpuUsec);
}

}  // namespace
}  // namespace recap::test
