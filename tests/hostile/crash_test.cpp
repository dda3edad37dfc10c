// SPDX-License-Identifier: Apache-2.0
// The crash matrix: at every step of an attach and of a teardown, each process that takes part is killed, and whoever asked goes away.
// Afterwards, with the supervisor started anew where it was the one, an observer from outside finds nothing that was not there before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/hostile/fault_page.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/proc.hpp"
#include "tests/system/launcher/launcher_client.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::IsEmpty;

struct Scenario {
    const char* name;
    std::vector<std::string> words;
    void (*shape)(Plan&);
    bool stops = false;
    bool collects = false;
};

void joins(Plan& plan) {
    plan.processes = Processes::Join;
    plan.namespaces |= kNsPid;
}

void hasEverything(Plan& plan) {
    plan.view = View::Merged;
    plan.artifacts = "/out";
    plan.artifactsMax = 1 << 20;
    plan.freeze = true;
}

const Scenario kScenarios[] = {
    {"observe", {"double-fork"}, [](Plan&) {}},
    {"join", {"double-fork"}, joins},
    {"stopped", {"rest"}, joins, true},
    {"everything", {"artifacts", "/out"}, hasEverything, false, true},
};

std::ostream& operator<<(std::ostream& out, const Scenario& scenario) { return out << scenario.name; }

// From START to ACK, as recapd would. Ends early, without a word, where the launcher does.
void carryOut(LauncherClient& client, const Plan& plan, pid_t target, const Scenario& scenario) {
    const auto log = startPlan(client, plan, target);
    if (!log) return;
    if (scenario.stops) {
        client.waitFor(plan.runId, RunPhase::Executing);
        static_cast<void>(client.ask<Empty>(Verb::Stop, StopRequest{plan.runId, 0}));
    }
    finish(client, plan.runId, log->get());
    const RunRef ref{plan.runId};
    std::vector<UniqueFd> archive;
    if (scenario.collects && client.ask<Empty>(Verb::Collect, ref, {}, &archive) && !archive.empty())
        for (char bytes[4096]; ::read(archive[0].get(), bytes, sizeof bytes) > 0;) continue;
    static_cast<void>(client.ask<Empty>(Verb::Ack, ref));
}

class Crash : public ::testing::TestWithParam<Scenario> {
protected:
    void SetUp() override {
        ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // what a supervisor leaves comes here, and is waited for at once
        Ceiling ceiling;
        ceiling.freeze = true;
        launcher_ =
            std::make_unique<OwnLauncher>(ceiling, LauncherPrograms{.launcher = binDir().parent_path() / "tests/recap-launcher-weakened",
                                                                    .env = {{"RECAP_TEST_FAULTS", page_.path().string()}}});
        outside_ = std::make_unique<Outside>(OutsideScope{
            .targets = {target_.pid()}, .cgroupRoots = launcher_->cgroupRoots(), .folders = {launcher_->socket().parent_path() / "run"}});
        files_ = std::make_unique<Outside>(OutsideScope{.folders = {launcher_->store()}, .contents = {target_.rootfs()}});
        page_.want("");
        round();
        steps_ = page_.reached();
        before_ = lookWhenQuiet(*outside_);
        filesBefore_ = files_->look();
    }

    Plan plan(const std::vector<std::string>& words = GetParam().words) {
        LauncherClient client(launcher_->socket());
        Plan plan = planFor(client, *launcher_, target_.pid(), words);
        GetParam().shape(plan);
        return plan;
    }
    void round() {
        LauncherClient client(launcher_->socket());
        carryOut(client, plan(), target_.pid(), GetParam());
    }

    // Whether the step was reached, and somebody killed there.
    bool crash(const std::string& step, const std::string& victim) {
        page_.want(step);
        const Plan asked = plan();
        auto client = std::make_unique<LauncherClient>(launcher_->socket());
        std::atomic<bool> over = false;
        std::jthread recapd([&] {
            try {
                carryOut(*client, asked, target_.pid(), GetParam());
            } catch (const std::runtime_error&) {  // the launcher went away
            }
            over = true;
        });
        const bool afterwards = step == "worker: parked";  // for the next run, once nothing was asked for a while
        waitUntil([&] { return page_.somebodyIsThere() || (over && !afterwards); }, Deadline{kPatience});
        const bool there = page_.somebodyIsThere();
        const bool killed = there && kill(victim, *client);
        page_.goOn();
        if (killed && victim == "supervisor") launcher_->start();
        recapd.join();
        return killed;
    }

    bool kill(const std::string& victim, LauncherClient& client) {
        if (victim == "client") return client.hangUp(), true;
        if (victim == "supervisor") return launcher_->killHard(), true;
        std::vector<pid_t> victims;
        for (const pid_t child : childrenOf(launcher_->pid())) {
            const auto process = processOf(child);
            const bool init = process && process->name == "capsule-init";
            if (victim == "worker" && process && isSpawnWorker(*process)) victims.push_back(child);
            if (victim == "init" && init) victims.push_back(child);
            if (victim == "collector" && process && !init && !isSpawnWorker(*process)) victims.push_back(child);
            if (victim == "payload" && init) victims = childrenOf(child);
        }
        for (const pid_t pid : victims) ::kill(pid, SIGKILL);
        return !victims.empty();
    }

    // As recapd does when it is back: ends and acknowledges whatever runs are there.
    void comeBack() {
        LauncherClient client(launcher_->socket());
        const auto all = [&] { return client.ask<RunList>(Verb::List, RunRef{}).value().runs; };
        for (const RunState& run : all()) static_cast<void>(client.ask<Empty>(Verb::Stop, StopRequest{run.report.runId, 0}));
        const bool none = waitUntil(
            [&] {
                for (const RunState& run : all())
                    if (run.phase == RunPhase::Finished) static_cast<void>(client.ask<Empty>(Verb::Ack, RunRef{run.report.runId}));
                return all().empty();
            },
            Deadline{kPatience});
        EXPECT_TRUE(none) << "a run never ends";
    }

    // Whoever is in the launcher's cgroups, or its child, and neither the supervisor nor a worker of its. Does an init's duty for the
    // inits of capsules whose supervisor was killed.
    std::vector<std::string> strays() const {
        const std::string cgroup = launcher_->cgroupRoots().front().filename();
        std::vector<std::string> found;
        for (const Process& process : allProcesses()) {
            const bool ours = process.parent == launcher_->pid() || process.cgroups.find("/" + cgroup + "/") != std::string::npos;
            const bool worker = process.parent == launcher_->pid() && isSpawnWorker(process) && process.state != 'Z';
            if (process.state == 'Z' && process.parent == ::getpid() && process.name.starts_with("capsule"))
                ::waitpid(process.pid, nullptr, WNOHANG);
            if (process.state == 'Z' && process.parent == target_.pid()) continue;
            if (ours && !worker && process.pid != launcher_->pid())
                found.push_back(std::to_string(process.pid) + " " + process.name + " " + process.state);
        }
        return found;
    }

    void expectNothingLeft(const std::string& victim) {
        page_.want("");
        comeBack();
        EXPECT_TRUE(waitUntil([this] { return strays().empty(); }, Deadline{kPatience})) << ::testing::PrintToString(strays());
        const auto zombie = [this](const std::string& difference) {
            const auto at = difference.find("process ");
            const auto process = processOf(at == std::string::npos ? 0 : std::atoi(difference.c_str() + at + 8));
            return process && process->state == 'Z' && process->parent == target_.pid();  // see zombies()
        };
        EXPECT_THAT(leftAfter(*outside_, before_, zombie), IsEmpty());
        EXPECT_TRUE(zombies() == zombies_ || victim == "init") << zombies() << " zombies, " << zombies_ << " before";
        zombies_ = zombies();
        LauncherClient client(launcher_->socket());
        const Finished next = runPlan(client, plan({"exit"}), target_.pid());
        EXPECT_EQ(next.report.end, End::Exited) << next.report.step;
        EXPECT_THAT(next.report.left, IsEmpty());
    }

    // Of the target's first process, which waits for nobody. Only the death of a capsule's init makes any, and the report names them.
    std::size_t zombies() const {
        std::size_t count = 0;
        for (const pid_t child : childrenOf(target_.pid())) {
            const auto process = processOf(child);
            if (!process || process->state != 'Z') continue;
            EXPECT_NE(launcher_->output().find("zombie " + std::to_string(child)), std::string::npos) << child << " is not named";
            ++count;
        }
        return count;
    }

    const MicroContainer target_{{.kind = "busybox"}};
    FaultPage page_;
    std::unique_ptr<OwnLauncher> launcher_;
    std::unique_ptr<Outside> outside_;
    std::unique_ptr<Outside> files_;  // which take long to look at
    Picture before_, filesBefore_;
    std::vector<std::string> steps_;
    std::size_t zombies_ = 0;
};

// The worker last: where a parked one was killed nobody parks for a while, until the next supervisor.
std::vector<std::string> victimsAt(const std::string& step) {
    if (step.starts_with("worker")) return {"supervisor", "client", "worker"};
    if (step.starts_with("payload")) return {"supervisor", "init", "payload", "client"};
    if (step.starts_with("collector")) return {"supervisor", "collector", "client"};
    return {"supervisor", "init", "client", "worker"};
}

// These two are there at every step; the others have not begun yet at some, or have ended.
bool isAlwaysThere(const std::string& victim) { return victim == "supervisor" || victim == "client"; }

TEST_P(Crash, LeavesNothingWhoeverDiesAtWhateverStep) {
    int kills = 0;
    std::vector<std::string> skipped;
    for (const std::string& step : steps_) {
        for (const std::string& victim : victimsAt(step)) {
            SCOPED_TRACE(victim + " killed at " + step);
            const bool killed = crash(step, victim);
            kills += killed;
            if (!killed) skipped.push_back(victim + " at " + step);
            EXPECT_TRUE(killed || !isAlwaysThere(victim)) << "nobody was killed";
            expectNothingLeft(victim);
            if (HasFailure()) FAIL() << launcher_->output();
        }
    }
    EXPECT_THAT(leftAfter(*files_, filesBefore_), IsEmpty());
    EXPECT_GT(steps_.size(), 40u);
    EXPECT_GT(kills, 100);
    std::printf("crash matrix, %s: %zu steps, somebody killed %d times, nothing left\n", GetParam().name, steps_.size(), kills);
    for (const std::string& pair : skipped) std::printf("  skipped: %s\n", pair.c_str());
}

INSTANTIATE_TEST_SUITE_P(Every, Crash, ::testing::ValuesIn(kScenarios),
                         [](const auto& scenario) { return std::string(scenario.param.name); });

}  // namespace
}  // namespace recap::test
