// SPDX-License-Identifier: Apache-2.0
// What recap-launcher does where the kernel is older: the same capsules, by longer ways. Those are taken here on any kernel, as
// --without asks for them; the virtual machine's kernel has no others.
#include <elf.h>
#include <signal.h>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using namespace launcher;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAreArray;

class LauncherFallback : public LauncherTest {
protected:
    static void SetUpTestSuite() {
        nginx_ = std::make_unique<MicroContainer>();
        launcher_ = std::make_unique<OwnLauncher>(
            Ceiling{}, LauncherPrograms{.options = {"--without", "proc-pidns", "--without", "overlay-fd", "--without", "cgroup-kill"}});
    }
};

TEST_F(LauncherFallback, TellsWhatIsMissingAndWhatServesInstead) {
    const std::uint64_t features = client_->ask<Hello>(Verb::Hello, Hello{}).value().features;
    EXPECT_EQ(features & (kFeatureObserve | kFeatureLayers | kFeatureCgroupKill), 0u);
    EXPECT_NE(features & kFeatureObserveByVisit, 0u);
    EXPECT_NE(features & kFeatureLayersByName, 0u);
    EXPECT_NE(features & kFeatureIntoCgroup, 0u);
}

TEST_F(LauncherFallback, EndsWithThePayloadsExitStatusAndIsClean) {
    for (int i = 0; i < 5; ++i) {  // from the second on with a root that was made ahead
        const Finished finished = payload({"exit", "7"});
        EXPECT_EQ(finished.report.end, End::Exited) << finished.report.step << " " << finished.report.error;
        EXPECT_EQ(finished.report.value, 7);
        EXPECT_THAT(finished.report.left, IsEmpty());
    }
}

TEST_F(LauncherFallback, ObserveShowsTheTargetsProcessesExactly) {
    std::vector<std::string> seen;
    for (const std::string& line : lines(payload({"ls", "/proc"}).out))
        if (line.find_first_not_of("0123456789") == std::string::npos) seen.push_back(line);
    EXPECT_THAT(seen, UnorderedElementsAreArray(ownNumbers(nginx_->pid())));
    EXPECT_EQ(payload({"cat", "/proc/1/comm"}).out, "nginx\n");
    EXPECT_EQ(payload({"cat", "/proc/self/comm"}).out, "payload\n");
    EXPECT_THAT(payload({"cat", "/proc/1/root/etc/passwd"}).out, Not(HasSubstr("nginx")));
}

TEST_F(LauncherFallback, MergedViewIsTheImageOverTheTargetsFiles) {
    Plan asked = plan({"cat", "/etc/nginx/nginx.conf"});
    asked.view = View::Merged;
    const Finished finished = run(asked);
    EXPECT_EQ(finished.out, readFile(nginx_->rootfs() / "etc/nginx/nginx.conf")) << finished.report.step << " " << finished.report.error;
}

TEST_F(LauncherFallback, ReadOnlyViewIsTheTargetsRootAndCannotBeWritten) {
    Plan asked = plan({"cat", "/target/etc/nginx/nginx.conf"});
    asked.view = View::ReadOnly;
    EXPECT_EQ(run(asked).out, readFile(nginx_->rootfs() / "etc/nginx/nginx.conf"));
    Plan writes = plan({"scribble", "/target/tmp"});
    writes.view = View::ReadOnly;
    EXPECT_EQ(values(run(writes).out).at("/target/tmp"), "Read-only file system");
}

TEST_F(LauncherFallback, EveryRunGetsAFreshRootWithinItsSize) {
    EXPECT_EQ(values(payload({"scribble", "/tmp"}).out).at("/tmp"), "written");
    EXPECT_EQ(payload({"ls", "/tmp"}).out, "");
    EXPECT_FALSE(fs::exists(launcher_->store() / "layers" / launcher_->layer() / "tmp/scribble"));
    EXPECT_EQ(values(payload({"fill", "/tmp/fill"}).out).at("error"), "No space left on device");
}

TEST_F(LauncherFallback, MountsAsManyLayersAsAnImageMayHave) {
    std::vector<std::string> layers{launcher_->layer()};
    for (unsigned i = 1; i < kMaxLayers; ++i) {
        const std::string number = std::to_string(1000 + i);
        layers.push_back(std::string(60, 'c') + number);
        fs::create_directory(launcher_->store() / "layers" / layers.back());
        writeFile(launcher_->store() / "layers" / layers.back() / "uppermost", number);
        writeFile(launcher_->store() / "layers" / layers.back() / number, "");
    }
    Plan asked = plan({"cat", "/uppermost"});
    asked.imageDigest = std::string(64, 'd');
    asked.layers = layers;
    launcher_->addImage(asked.imageDigest, layers, true, EM_X86_64);
    before_ = lookWhenQuiet(*outside_);
    EXPECT_EQ(run(asked).out, std::to_string(1000 + kMaxLayers - 1));
    asked.runId = freshRunId();
    asked.argv = {"payload", "ls", "/"};
    const auto names = lines(run(asked).out);
    EXPECT_EQ(std::ranges::count_if(names, [](const std::string& name) { return name.starts_with("1"); }), long{kMaxLayers - 1});
}

TEST_F(LauncherFallback, ADeadlineEndsAForkBombThatStaysWithinItsLimit) {
    Plan asked = plan({"fork-bomb"});
    asked.timeoutUsec = shortly();
    asked.limits.pids = 40;
    EXPECT_EQ(endOf(startAndHear(asked, nginx_->pid(), "forking")).end, End::TimedOut);
}

// A target that stops or kills whatever comes into its pid namespace, as its root can.
class Guard {
public:
    explicit Guard(const std::string& signal)
        : box_({.kind = "busybox",
                .argv = {"/bin/sh", "-c", "while :; do kill -" + signal + " -1; done 2>/dev/null"},
                .uid = 0,
                .gid = 0,
                .capabilities = {"CAP_KILL"}}) {}
    pid_t pid() const { return box_.pid(); }

private:
    MicroContainer box_;
};

// Ended as usual, or not begun because what was to open the procfs was held up or killed; never left waiting.
void expectEndOrRefusal(const Report& report) {
    EXPECT_THAT(report.end, AnyOf(Eq(End::Exited), Eq(End::NotStarted)));
    if (report.end != End::NotStarted) return;
    EXPECT_EQ(report.step, "target's processes");
    EXPECT_THAT(report.error, AnyOf(Eq(ETIMEDOUT), Eq(ECHILD)));
}

TEST_F(LauncherFallback, ATargetThatStopsOrKillsItsVisitorHoldsNobodyUp) {
    for (const char* signal : {"STOP", "KILL"}) {
        const Guard guard(signal);
        const Outside outside{{.targets = {guard.pid()}, .daemons = {launcher_->pid()}}};
        const Picture before = lookWhenQuiet(outside);
        for (int i = 0; i < 10; ++i)
            expectEndOrRefusal(runPlan(*client_, planFor(*client_, *launcher_, guard.pid(), {"exit"}), guard.pid()).report);
        EXPECT_THAT(leftAfter(outside, before), IsEmpty());
        EXPECT_EQ(payload({"exit", "3"}).report.value, 3) << "other targets are served";
    }
}

// Stopped by the target, it stands still to be looked at.
TEST_F(LauncherFallback, AVisitorHasNothingWorthTaking) {
    const Guard guard("STOP");
    const auto visitor = [&]() -> pid_t {
        for (const Process& process : allProcesses())
            if (isSpawnWorker(process) && namespaceOf(process.pid, "pid") == namespaceOf(guard.pid(), "pid")) return process.pid;
        return 0;
    };
    for (int i = 0; i < 100; ++i) {
        const Plan asked = planFor(*client_, *launcher_, guard.pid(), {"exit"});
        const auto log = startPlan(*client_, asked, guard.pid());
        ASSERT_TRUE(log) << log.error().message;
        pid_t seen = 0;
        std::map<std::string, std::string> status;
        std::size_t descriptors = 0, entries = 0;
        if (waitUntil([&] { return (seen = visitor()) != 0; }, Deadline{std::chrono::milliseconds(100)})) {
            const fs::path proc = "/proc/" + std::to_string(seen);
            status = statusOf(seen);
            std::error_code gone;
            descriptors = static_cast<std::size_t>(std::distance(fs::directory_iterator(proc / "fd", gone), {}));
            entries = static_cast<std::size_t>(std::distance(fs::directory_iterator(proc / "root/", gone), {}));
            if (gone || visitor() != seen) status.clear();  // it ended meanwhile
        }
        expectEndOrRefusal(finish(*client_, asked.runId, log->get()).report);
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
        if (status.empty()) continue;
        for (const char* set : {"CapEff", "CapPrm"}) EXPECT_EQ(status.at(set), "0000000000200000") << "CAP_SYS_ADMIN alone";
        for (const char* set : {"CapInh", "CapBnd", "CapAmb"}) EXPECT_EQ(status.at(set), "0000000000000000") << set;
        EXPECT_EQ(status.at("Seccomp"), "2");
        EXPECT_EQ(status.at("NoNewPrivs"), "1");
        EXPECT_LE(descriptors, 2u) << "its socket, and what it came for";
        EXPECT_EQ(entries, 0u) << "no file system but an empty one";
        return;
    }
    FAIL() << "no visitor was ever caught";
}

}  // namespace
}  // namespace recap::test
