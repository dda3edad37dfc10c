// SPDX-License-Identifier: Apache-2.0
// freeze: the target stands still for as long as the capsule lives, and goes on afterwards, whatever the capsule's end is.
#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Ceiling freezing() {
    Ceiling ceiling;
    ceiling.freeze = true;
    return ceiling;
}

// A target that counts, in a file that is read from outside. runc puts it into v1's cgroups and the unified one, crun into v1's only.
class LauncherFreeze : public ::testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        target_ = std::make_unique<MicroContainer>(
            ContainerOptions{.kind = "busybox",
                             .argv = {"/bin/sh", "-c", "sleep 86401 & i=0; while :; do i=$((i+1)); echo $i >/tmp/count; done"},
                             .runtime = GetParam()});
        launcher_ = std::make_unique<OwnLauncher>(freezing());
        client_ = std::make_unique<LauncherClient>(launcher_->socket());
        outside_ = std::make_unique<Outside>(OutsideScope{.targets = {target_->pid()},
                                                          .daemons = {launcher_->pid()},
                                                          .cgroupRoots = launcher_->cgroupRoots(),
                                                          .folders = {launcher_->store()}});
        before_ = lookWhenQuiet(*outside_);
    }
    void TearDown() override { EXPECT_THAT(leftAfter(*outside_, before_), IsEmpty()) << launcher_->output(); }
    Plan freezingPlan(std::vector<std::string> words) {
        Plan plan = planFor(*client_, *launcher_, target_->pid(), std::move(words));
        plan.freeze = true;
        return plan;
    }
    std::uint64_t worked() const {  // clock ticks of CPU that the target has had: fields 14 and 15 of proc(5) stat
        const std::string stat = readFile("/proc/" + std::to_string(target_->pid()) + "/stat");
        std::istringstream fields(stat.substr(stat.rfind(')') + 2));
        std::string skipped;
        for (int field = 3; field < 14; ++field) fields >> skipped;
        std::uint64_t user = 0, system = 0;
        fields >> user >> system;
        return user + system;
    }
    bool goesOn() const {
        const auto then = worked();
        return waitUntil([&] { return worked() > then; }, Deadline{kPatience});
    }
    // While another process, this one, spends this much of its own time.
    bool standsStill() const {
        const auto then = worked();
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
        while (std::chrono::steady_clock::now() < until) continue;
        return worked() == then;
    }
    std::string startFrozen() {
        const Plan asked = freezingPlan({"rest"});
        auto log = startPlan(*client_, asked, target_->pid());
        EXPECT_TRUE(log) << log.error().message;
        log_ = std::move(*log);
        client_->waitFor(asked.runId, RunPhase::Executing);
        return asked.runId;
    }
    Report stop(const std::string& id) {
        EXPECT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{id, 1'000'000}));
        const Report report = finish(*client_, id, log_.get()).report;
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{id}));
        EXPECT_THAT(report.left, IsEmpty());
        return report;
    }

    std::unique_ptr<MicroContainer> target_;
    std::unique_ptr<OwnLauncher> launcher_;
    std::unique_ptr<LauncherClient> client_;
    std::unique_ptr<Outside> outside_;
    Picture before_;
    UniqueFd log_;
};

TEST_P(LauncherFreeze, StandsStillFromBeforeThePayloadToItsEnd) {
    ASSERT_TRUE(goesOn());
    const std::string id = startFrozen();
    EXPECT_TRUE(standsStill());
    EXPECT_EQ(stop(id).end, End::Stopped);
    EXPECT_TRUE(goesOn());
}

TEST_P(LauncherFreeze, GoesOnAfterACapsuleThatCouldNotStart) {
    Plan asked = freezingPlan({"ids"});
    asked.executable = "/absent";
    const Report report = runPlan(*client_, asked, target_->pid()).report;
    EXPECT_EQ(report.end, End::NotStarted);
    EXPECT_THAT(report.left, IsEmpty());
    EXPECT_TRUE(goesOn());
}

TEST_P(LauncherFreeze, StandsStillUntilTheLastOfSeveralEnds) {
    const std::string first = startFrozen();
    UniqueFd firstLog = std::move(log_);
    const std::string second = startFrozen();
    std::swap(log_, firstLog);
    stop(first);
    EXPECT_TRUE(standsStill());
    std::swap(log_, firstLog);
    stop(second);
    EXPECT_TRUE(goesOn());
}

TEST_P(LauncherFreeze, GoesOnOnceALauncherIsStartedAfterOneThatWasKilled) {
    startFrozen();
    launcher_->killHard();
    EXPECT_TRUE(standsStill()) << "nobody is there to let it go";
    launcher_->start();
    EXPECT_TRUE(goesOn());
    client_ = std::make_unique<LauncherClient>(launcher_->socket());
    outside_ = std::make_unique<Outside>(OutsideScope{.targets = {target_->pid()}, .cgroupRoots = launcher_->cgroupRoots()});
    before_ = outside_->look();
    EXPECT_THAT(launcher_->journal(), ::testing::Contains(HasSubstr("thawed 1 targets")));
}

TEST_P(LauncherFreeze, StaysAsItWasWhereSomebodyElseFrozeIt) {
    const auto pause = [&](const char* verb) {
        auto words = runtimeCommand(GetParam(), target_->runtimeRoot());
        words.insert(words.end(), {verb, target_->name()});
        return run(words);
    };
    ASSERT_EQ(pause("pause").status, 0);
    const std::string id = startFrozen();
    stop(id);
    EXPECT_TRUE(standsStill());
    ASSERT_EQ(pause("resume").status, 0);
    EXPECT_TRUE(goesOn());
}

TEST_P(LauncherFreeze, OnlyWhereTheCeilingSaysSo) {
    const OwnLauncher strict;
    LauncherClient client(strict.socket());
    Plan asked = planFor(client, strict, target_->pid(), {"ids"});
    asked.freeze = true;
    const auto started = startPlan(client, asked, target_->pid());
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr("ceiling: freeze"));
}

// A process of the host's, in namespaces of its own but in nobody's cgroup: what shares its cgroup would stand still too.
TEST_P(LauncherFreeze, NotWhatSharesItsCgroupWithTheHost) {
    Child loose(Command{.argv = {"unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c",
                                 "echo ready; exec sleep 86405"}});
    ASSERT_TRUE(loose.waitForOutput("ready", Deadline{kPatience}));
    const auto children = childrenOf(loose.pid());
    ASSERT_EQ(children.size(), 1u);
    Plan asked = planFor(*client_, *launcher_, children.front(), {"ids"});
    asked.freeze = true;
    const auto started = startPlan(*client_, asked, children.front());
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr("no cgroup of its own"));
}

// A target that may make cgroups makes so many that looking through them would keep everybody else.
TEST_P(LauncherFreeze, NotWhatHasMoreCgroupsThanAreLookedAt) {
    std::filesystem::path cgroup;
    for (const std::string& line : lines(processOf(target_->pid())->cgroups)) {
        const std::string path = line.substr(line.rfind(':') + 1);
        const bool unified = line.starts_with("0::"), freezer = line.find(":freezer:") != std::string::npos;
        if (path.size() < 2 || (!unified && !freezer)) continue;
        for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"})
            if (std::filesystem::exists(root + path + (unified ? "/cgroup.freeze" : "/freezer.state"))) cgroup = root + path;
        if (unified && !cgroup.empty()) break;  // which is looked at first
    }
    ASSERT_FALSE(cgroup.empty());
    const auto made = [&](int i) { return cgroup / ("many-" + std::to_string(i)); };
    for (int i = 0; i < 4200; ++i) std::filesystem::create_directory(made(i));
    const auto started = startPlan(*client_, freezingPlan({"ids"}), target_->pid());
    for (int i = 0; i < 4200; ++i) ::rmdir(made(i).c_str());
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().message, HasSubstr("more than 4096 cgroups and processes in"));
    EXPECT_TRUE(goesOn());
    EXPECT_EQ(stop(startFrozen()).end, End::Stopped);
}

INSTANTIATE_TEST_SUITE_P(Runtimes, LauncherFreeze, ::testing::Values("runc", "crun"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace recap::test
