// SPDX-License-Identifier: Apache-2.0
// What becomes of a run, and of others, while somebody who takes part in it stands still at a step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "tests/hostile/fault_page.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/proc.hpp"
#include "tests/system/launcher/launcher_client.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Standstill : public ::testing::Test {
protected:
    void start(const Ceiling& ceiling = {}, std::vector<std::string> options = {}) {
        launcher_ =
            std::make_unique<OwnLauncher>(ceiling, LauncherPrograms{.launcher = binDir().parent_path() / "tests/recap-launcher-weakened",
                                                                    .env = {{"RECAP_TEST_FAULTS", page_.path().string()}},
                                                                    .options = std::move(options)});
        client_ = std::make_unique<LauncherClient>(launcher_->socket());
    }
    Plan plan(const std::vector<std::string>& words) { return planFor(*client_, *launcher_, target_.pid(), words); }
    bool somebodyIsThere() {
        return waitUntil([this] { return page_.somebodyIsThere(); }, Deadline{kPatience});
    }

    // Of the launcher's children whoever does not wait for anything: at a step they spin.
    std::string whoStandsThere() const {
        std::string names;
        for (const pid_t child : childrenOf(launcher_->pid())) {
            const auto process = processOf(child);
            if (process && process->state == 'R') names += process->name;
        }
        return names;
    }

    // A run whose worker never gets further ends nevertheless, and the next ones do not notice.
    void expectAHangingWorkerIsGivenUp(const std::string& worker) {
        page_.want("worker: target");
        const Plan hanging = plan({"exit"});
        auto log = startPlan(*client_, hanging, target_.pid());
        ASSERT_TRUE(log) << log.error().message;
        ASSERT_TRUE(somebodyIsThere());
        EXPECT_TRUE(waitUntil([&] { return whoStandsThere() == worker; }, Deadline{kPatience})) << whoStandsThere() << " is what hangs";
        EXPECT_EQ(runPlan(*client_, plan({"exit"}), target_.pid()).report.end, End::Exited) << "the other workers go on";

        const Report report = finish(*client_, hanging.runId, log->get()).report;
        EXPECT_EQ(report.end, End::NotStarted);
        EXPECT_EQ(report.step, "spawn worker");
        EXPECT_EQ(report.error, ETIMEDOUT);
        EXPECT_THAT(report.left, IsEmpty());
        for (int i = 0; i < 8; ++i) EXPECT_EQ(runPlan(*client_, plan({"exit"}), target_.pid()).report.end, End::Exited);
        for (const pid_t child : childrenOf(launcher_->pid())) {
            const auto process = processOf(child);
            EXPECT_TRUE(!process || process->state != 'Z') << "the worker was not waited for";
        }
    }

    const MicroContainer target_;
    FaultPage page_;
    std::unique_ptr<OwnLauncher> launcher_;
    std::unique_ptr<LauncherClient> client_;
};

TEST_F(Standstill, AHangingWorkerIsGivenUp) {
    Ceiling ceiling;
    ceiling.limits = LimitsMode::BestEffort;
    start(ceiling, {"--cgroup-v1", "off"});  // nobody is parked
    expectAHangingWorkerIsGivenUp("recap-spawn");
}

// Where version 1 has no controllers there is nothing to be born into that another would have to wait in: nobody is parked, and it is
// the usual worker that hangs.
TEST_F(Standstill, AHangingParkedWorkerIsGivenUp) {
    start();
    const bool parks = launcher_->cgroupRoots().size() > 1;
    const auto parked = [this] {
        return std::ranges::any_of(allProcesses(), [this](const Process& process) {
            return process.parent == launcher_->pid() && process.name == "recap-parked";
        });
    };
    ASSERT_TRUE(!parks || waitUntil(parked, Deadline{kPatience}));
    expectAHangingWorkerIsGivenUp(parks ? "recap-parked" : "recap-spawn");
}

const std::filesystem::path kFreezer = "/sys/fs/cgroup/freezer";

// What keeps a process that was killed: a freezer of version 1, where there is one, and anywhere a tracer that does not wait for it.
std::vector<const char*> keepers() {
    if (std::filesystem::exists(kFreezer / "cgroup.procs")) return {"freezer", "tracer"};
    return {"tracer"};
}

class Undead : public Standstill, public ::testing::WithParamInterface<const char*> {
protected:
    bool frozen() const { return std::string_view(GetParam()) == "freezer"; }
    void hold(pid_t pid) {
        held_ = pid;
        if (!frozen()) {
            ASSERT_EQ(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), 0) << ::strerror(errno);
            return;
        }
        std::filesystem::create_directory(cgroup_);
        writeFile(cgroup_ / "cgroup.procs", std::to_string(pid));
        writeFile(cgroup_ / "freezer.state", "FROZEN");
    }
    void release() {
        if (frozen())
            writeFile(cgroup_ / "freezer.state", "THAWED");
        else
            EXPECT_EQ(::waitpid(held_, nullptr, __WALL), held_);
    }
    bool isGone(const std::string& runId) const {
        for (const auto& root : launcher_->cgroupRoots())
            if (std::filesystem::exists(root / runId)) return false;
        std::error_code busy;
        return !processOf(held_) && (!frozen() || std::filesystem::remove(cgroup_, busy));
    }
    // A parked one is in its run's cgroups already.
    pid_t workerOf(const std::string& runId) const {
        pid_t spinning = 0;
        for (const pid_t child : childrenOf(launcher_->pid())) {
            const auto process = processOf(child);
            if (process && process->cgroups.find("/" + runId) != std::string::npos) return child;
            if (process && process->name == "recap-spawn" && process->state == 'R') spinning = child;
        }
        return spinning;
    }

private:
    const std::filesystem::path cgroup_ = kFreezer / ("recap-test-" + std::to_string(::getpid()));
    pid_t held_ = 0;
};

TEST_P(Undead, AWorkerThatDoesNotEvenDieIsGivenUp) {
    start();
    page_.want("worker: target");
    const Plan hanging = plan({"exit"});
    auto log = startPlan(*client_, hanging, target_.pid());
    ASSERT_TRUE(log) << log.error().message;
    ASSERT_TRUE(somebodyIsThere());
    const pid_t worker = workerOf(hanging.runId);
    ASSERT_NE(worker, 0);
    hold(worker);

    const Report report = finish(*client_, hanging.runId, log->get()).report;
    EXPECT_EQ(report.end, End::NotStarted);
    EXPECT_EQ(report.error, ETIMEDOUT);
    EXPECT_EQ(runPlan(*client_, plan({"exit"}), target_.pid()).report.end, End::Exited) << "nobody waits for it";
    EXPECT_TRUE(processOf(worker)) << "it was not kept: this shows nothing";
    release();
    EXPECT_TRUE(waitUntil([&] { return isGone(hanging.runId); }, Deadline{kPatience})) << "once it can die, nothing of it is left";
}

INSTANTIATE_TEST_SUITE_P(KeptBy, Undead, ::testing::ValuesIn(keepers()), [](const auto& keeper) { return std::string(keeper.param); });

// The one of two that is on its way has the launcher's rights still, and would be traced by the other.
TEST_F(Standstill, NobodyWhoMayTraceJoinsBesideAnotherWhoIsJoining) {
    Ceiling ceiling;
    ceiling.capabilities = 1ull << CAP_SYS_PTRACE;
    start(ceiling);
    const auto joining = [this](bool traces) {
        Plan asked = plan({"exit"});
        asked.processes = Processes::Join;
        asked.namespaces |= kNsPid;
        asked.capabilities = traces ? 1ull << CAP_SYS_PTRACE : 0;
        return asked;
    };
    struct {
        bool first, second;
        const char* what;
    } const pairs[] = {{false, true, "the second traces"}, {true, false, "the first traces"}};
    for (const auto& pair : pairs) {
        SCOPED_TRACE(pair.what);
        page_.want("init: root");
        const Plan first = joining(pair.first);
        auto log = startPlan(*client_, first, target_.pid());
        ASSERT_TRUE(log) << log.error().message;
        ASSERT_TRUE(somebodyIsThere());

        const auto refused = startPlan(*client_, joining(pair.second), target_.pid());
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Errc::Busy);
        EXPECT_THAT(refused.error().message, HasSubstr(first.runId));
        const bool another = static_cast<bool>(startPlan(*client_, plan({"exit"}), target_.pid()));
        EXPECT_TRUE(another) << "one that joins no processes is in nobody's way";

        page_.goOn();
        EXPECT_EQ(finish(*client_, first.runId, log->get()).report.end, End::Exited);
        EXPECT_EQ(runPlan(*client_, joining(pair.second), target_.pid()).report.end, End::Exited) << "now it is alone";
    }
}

// Two that may not trace are no danger to each other.
TEST_F(Standstill, OthersJoinBesideEachOther) {
    start();
    page_.want("init: root");
    const auto joining = [this] {
        Plan asked = plan({"exit"});
        asked.processes = Processes::Join;
        asked.namespaces |= kNsPid;
        return asked;
    };
    const Plan first = joining();
    auto log = startPlan(*client_, first, target_.pid());
    ASSERT_TRUE(log) << log.error().message;
    ASSERT_TRUE(somebodyIsThere());
    EXPECT_EQ(runPlan(*client_, joining(), target_.pid()).report.end, End::Exited);
    page_.goOn();
    EXPECT_EQ(finish(*client_, first.runId, log->get()).report.end, End::Exited);
}

}  // namespace
}  // namespace recap::test
