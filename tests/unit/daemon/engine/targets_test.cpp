// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/wait.h>

#include "fakes.hpp"

namespace recap::test {
namespace {

class Child {
public:
    Child() : pid_(::fork()) {
        if (pid_ == 0) {
            ::pause();
            ::_exit(0);
        }
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    pid_t pid() const { return pid_; }
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    pid_t pid_;
};

struct Heard : TargetListener {
    std::vector<std::string> added, removed;
    void targetAdded(const Target& target) override { added.push_back(target.id.text()); }
    void targetRemoved(const TargetId& id) override { removed.push_back(id.text()); }
    std::vector<std::string> backends;
    void backendChanged(const BackendStatus& status) override { backends.push_back(status.name + " " + std::string(name(status.state))); }
};

struct Finder : TargetFinder {
    TargetSink* sink = nullptr;
    std::vector<TargetId> asked;
    void find(const TargetId& id, std::function<void(Result<void>)> reply) override {
        asked.push_back(id);
        if (id.id != std::to_string(::getpid())) return reply(fail(Errc::NotFound, "process: no process " + id.id));
        Target target;
        target.id = id;
        target.pid = ::getpid();
        sink->added(target);
        reply({});
    }
};

struct TargetsTest : testing::Test {
    EventLoop loop = newLoop();
    ManualLauncher launcher;
    TargetTable table{loop.get(), launcher};
    Heard heard;
    TargetsTest() {
        table.listen(heard);
        table.state({"docker", "docker", BackendState::Ready, "", 0});
        table.state({"process", "process", BackendState::Ready, "", 0});
        table.state({"containerd", "containerd", BackendState::Waiting, "no socket at /run/containerd/containerd.sock", 0});
    }
    static Target target(const std::string& backend, const std::string& id, const std::string& name, pid_t pid = ::getpid()) {
        Target made;
        made.id = {backend, id};
        made.name = name;
        made.pid = pid;
        return made;
    }
    std::string resolved(const std::string& text) const {
        const auto found = table.resolve(text);
        return found ? (*found)->id.text() : std::string(name(found.error().code)) + ": " + found.error().message;
    }
};

TEST_F(TargetsTest, ResolvesByIdByNameAndByPrefix) {
    table.added(target("docker", "3f2a9c77b1de0042aa", "web"));
    table.added(target("process", "4242", "nginx"));
    table.added(target("docker", "3f2a9c77b1de9999aa", "db"));
    table.added(target("docker", "77aa", "db"));
    EXPECT_EQ(resolved("docker:web"), "docker:3f2a9c77b1de0042aa");
    EXPECT_EQ(resolved("web"), "docker:3f2a9c77b1de0042aa");
    EXPECT_EQ(resolved("docker:3f2a9c77b1de0042aa"), "docker:3f2a9c77b1de0042aa");
    EXPECT_EQ(resolved("docker:3f2a9c77b1de00"), "docker:3f2a9c77b1de0042aa");
    EXPECT_EQ(resolved("process:4242"), "process:4242");
    EXPECT_EQ(resolved("docker:3f2a"), "NotFound: docker: no container '3f2a'") << "a short prefix is no name";
    EXPECT_EQ(resolved("docker:3f2a9c77b1de").substr(0, 10), "Ambiguous:");
    EXPECT_EQ(resolved("db"), "Ambiguous: target 'db' is ambiguous: docker:3f2a9c77b1de9999aa (db), docker:77aa (db); name one of them");
    EXPECT_EQ(resolved("podman:web"), "NotFound: no backend 'podman' for target 'podman:web'; there are: containerd, docker, process");
    EXPECT_EQ(resolved("containerd:x"), "Unavailable: backend 'containerd' is waiting: no socket at /run/containerd/containerd.sock");
    EXPECT_EQ(resolved("nothing"), "NotFound: no target 'nothing' in any backend (containerd, docker, process)");
    EXPECT_EQ(resolved("").substr(0, 15), "InvalidArgument");
}

TEST_F(TargetsTest, AnotherProcessThanTheBackendSawIsNoTarget) {
    Target other = target("docker", "a", "a");
    other.startTime = pinProcess(::getpid()).value().startTime + 1;
    table.added(other);
    EXPECT_EQ(resolved("docker:a"), "NotFound: docker: no container 'a'");
}

TEST_F(TargetsTest, ATargetOutsideTheCgroupItsBackendNamesIsRefusedWithTheReason) {
    Target other = target("docker", "a", "a");
    other.cgroup = "/docker/of-somebody-else";
    table.added(other);
    Error error;
    table.whenReady("docker:a", [&](const Result<Target>& ready) { error = ready.error(); });
    EXPECT_EQ(error.code, Errc::Denied);
    EXPECT_NE(error.message.find("/docker/of-somebody-else"), std::string::npos);
    EXPECT_TRUE(launcher.inspects.empty());
}

TEST_F(TargetsTest, InspectsOnceALife) {
    const Child child;
    table.added(target("docker", "a", "a", child.pid()));
    table.added(target("docker", "a", "renamed", child.pid()));
    EXPECT_EQ(launcher.inspects.size(), 1u);
    EXPECT_EQ(heard.added.size(), 1u);
    EXPECT_EQ(resolved("renamed"), "docker:a");
}

// Its cgroup as the kernel says it, for targets that a test moves between "not said" and this one.
std::string ownCgroup() { return pinProcess(::getpid()).value().cgroups.front(); }

TEST_F(TargetsTest, AMovedTargetIsInspectedAnew) {
    table.added(target("docker", "a", "a"));
    TargetFacts root = Spine::facts();
    root.cgroup = "/old";
    launcher.inspects.at(0)(root);
    Target moved = target("docker", "a", "a");
    moved.cgroup = ownCgroup();
    table.added(moved);
    ASSERT_EQ(launcher.inspects.size(), 2u);
    std::string cgroup;
    table.whenReady("docker:a", [&](const Result<Target>& ready) { cgroup = ready->facts->cgroup; });
    EXPECT_EQ(cgroup, "") << "the old facts hold no more";
    TargetFacts now = Spine::facts();
    now.cgroup = "/new";
    launcher.inspects.at(1)(now);
    EXPECT_EQ(cgroup, "/new");
    EXPECT_EQ(heard.added.size(), 1u);
    EXPECT_TRUE(heard.removed.empty());
}

TEST_F(TargetsTest, AnAnswerFromBeforeTheMoveDoesNotCount) {
    table.added(target("docker", "a", "a"));
    std::string cgroup;
    table.whenReady("docker:a", [&](const Result<Target>& ready) { cgroup = ready->facts->cgroup; });
    Target moved = target("docker", "a", "a");
    moved.cgroup = ownCgroup();
    table.added(moved);
    ASSERT_EQ(launcher.inspects.size(), 2u);
    TargetFacts facts = Spine::facts();
    facts.cgroup = "/old";
    launcher.inspects.at(0)(facts);
    EXPECT_EQ(cgroup, "");
    facts.cgroup = "/new";
    launcher.inspects.at(1)(facts);
    EXPECT_EQ(cgroup, "/new");
}

TEST_F(TargetsTest, AMoveOutOfWhatTheBackendNamesIsRefusedAndAMoveBackIsNot) {
    table.added(target("docker", "a", "a"));
    launcher.inspects.at(0)(Spine::facts());
    Target moved = target("docker", "a", "a");
    moved.cgroup = "/docker/of-somebody-else";
    table.added(moved);
    Result<Target> answer = fail(Errc::Internal, "not answered");
    const auto keep = [&](Result<Target> ready) { answer = std::move(ready); };
    table.whenReady("docker:a", keep);
    EXPECT_EQ(answer.error().code, Errc::Denied);
    moved.cgroup = ownCgroup();
    table.added(moved);
    table.whenReady("docker:a", keep);
    launcher.inspects.back()(Spine::facts());
    EXPECT_TRUE(answer);
}

TEST(PinnedProcess, IsInACgroupAndInWhatThatIsBelow) {
    const PinnedProcess process{{}, 0, {"/", "/system.slice/docker-1.scope/init.scope"}};
    EXPECT_TRUE(isIn(process, "/system.slice/docker-1.scope/init.scope"));
    EXPECT_TRUE(isIn(process, "/system.slice/docker-1.scope"));
    EXPECT_TRUE(isIn(process, "/"));
    EXPECT_FALSE(isIn(process, "/system.slice/docker-1"));
    EXPECT_FALSE(isIn(PinnedProcess{{}, 0, {"/a"}}, "/"));
}

TEST_F(TargetsTest, ARefreshForgetsWhatWasFound) {
    table.added(target("docker", "a", "a"));
    TargetFacts facts = Spine::facts();
    launcher.inspects.at(0)(facts);
    std::vector<std::uint32_t> uids;
    const auto keep = [&](const Result<Target>& ready) { uids.push_back(ready->facts->uid); };
    table.refresh({"docker", "a"}, keep);
    table.whenReady("docker:a", keep);
    ASSERT_EQ(launcher.inspects.size(), 2u);
    facts.uid = 1000;
    launcher.inspects.at(1)(facts);
    EXPECT_EQ(uids, (std::vector<std::uint32_t>{1000, 1000}));
    Errc code = Errc::None;
    table.refresh({"docker", "b"}, [&](const Result<Target>& ready) { code = ready.error().code; });
    EXPECT_EQ(code, Errc::TargetGone);
}

TEST_F(TargetsTest, APidIsAPidWhateverProcessesCallThemselves) {
    table.added(target("process", "7", "4242"));
    EXPECT_EQ(resolved("process:4242"), "NotFound: process: no container '4242'");
    table.added(target("process", "4242", "nginx"));
    table.added(target("docker", "3f2a9c77b1de0042aa", "4242"));
    EXPECT_EQ(resolved("process:4242"), "process:4242");
    EXPECT_EQ(resolved("4242"), "process:4242") << "an id wins over a name";
    EXPECT_EQ(resolved("docker:4242"), "docker:3f2a9c77b1de0042aa") << "an engine's names are its own";
}

TEST_F(TargetsTest, ANameThatAProcessGaveItselfYieldsToEveryOther) {
    Target squatter = target("process", "7", "web");
    squatter.runtime = "process";
    table.added(squatter);
    EXPECT_EQ(resolved("web"), "process:7");
    table.added(target("docker", "3f2a9c77b1de0042aa", "web"));
    EXPECT_EQ(resolved("web"), "docker:3f2a9c77b1de0042aa");
    Target container = target("process", "8", "web");
    container.runtime = "runc";
    table.added(container);
    EXPECT_EQ(resolved("process:web"), "process:8");
}

TEST_F(TargetsTest, AForgottenBackendIsNoLongerListed) {
    table.added(target("docker", "a", "a"));
    table.snapshot("docker", {});
    table.forgotten("docker");
    EXPECT_EQ(resolved("docker:a"), "NotFound: no backend 'docker' for target 'docker:a'; there are: containerd, process");
    for (const auto& status : table.backends()) EXPECT_NE(status.name, "docker");
    EXPECT_EQ(heard.backends.back(), "docker unavailable");
}

TEST_F(TargetsTest, AThousandTargetsDoNotFloodTheLauncher) {
    for (int i = 0; i < 1000; ++i) table.added(target("docker", std::to_string(i), "t"));
    const auto first = launcher.inspects.size();
    EXPECT_LT(first, 100u);
    // Somebody waits for the last one: it is next.
    bool ready = false;
    table.whenReady("docker:999", [&](const Result<Target>& target) { ready = target.has_value(); });
    auto pending = std::exchange(launcher.inspects, {});
    pending.front()(Spine::facts());
    ASSERT_EQ(launcher.inspects.size(), 1u);
    launcher.inspects.front()(Spine::facts());
    EXPECT_TRUE(ready);
}

TEST_F(TargetsTest, AnEndedTargetLeavesTheTableByItself) {
    Child child;
    table.added(target("docker", "a", "a", child.pid()));
    Errc code = Errc::None;
    table.whenReady("docker:a", [&](const Result<Target>& ready) { code = ready.error().code; });
    child.end();
    turnUntil(loop.get(), [&] { return code != Errc::None; });
    EXPECT_EQ(code, Errc::TargetGone);
    EXPECT_EQ(heard.removed, std::vector<std::string>{"docker:a"});
    EXPECT_TRUE(table.list().empty());
}

TEST_F(TargetsTest, ASnapshotReplacesThatBackendsTargetsOnly) {
    table.added(target("docker", "a", "a"));
    table.added(target("process", "1", "b"));
    table.snapshot("docker", {target("docker", "c", "c")});
    EXPECT_EQ(heard.removed, std::vector<std::string>{"docker:a"});
    EXPECT_EQ(table.list().size(), 2u);
}

TEST_F(TargetsTest, APidThatNoSnapshotHasIsLookedFor) {
    Finder finder;
    finder.sink = &table;
    table.findWith(finder);
    std::string found;
    table.whenReady("process:" + std::to_string(::getpid()), [&](const Result<Target>& ready) { found = ready->id.text(); });
    ASSERT_EQ(launcher.inspects.size(), 1u);
    launcher.inspects.front()(Spine::facts());
    EXPECT_EQ(found, "process:" + std::to_string(::getpid()));
    std::string message;
    table.whenReady("process:999999999", [&](const Result<Target>& ready) { message = ready.error().message; });
    EXPECT_EQ(message, "process: no process 999999999");
}

TEST_F(TargetsTest, WithoutALauncherNobodyWaits) {
    launcher.there = false;
    table.added(target("docker", "a", "a"));
    Errc code = Errc::None;
    table.whenReady("docker:a", [&](const Result<Target>& ready) { code = ready.error().code; });
    EXPECT_EQ(code, Errc::Unavailable);
    launcher.there = true;
    table.launcherConnected();
    EXPECT_EQ(launcher.inspects.size(), 1u);
}

TEST(Ulid, GrowsWithinAMillisecondAndWhenTheClockStepsBack) {
    UlidSource ids;
    std::string last;
    for (const std::uint64_t time : {1'700'000'000'000ull, 1'700'000'000'000ull, 1'600'000'000'000ull, 1'700'000'000'001ull}) {
        const std::string id = ids.next(time);
        EXPECT_TRUE(isUlid(id)) << id;
        EXPECT_GT(id, last);
        last = id;
    }
    EXPECT_EQ(UlidSource().next(1469918176385).substr(0, 10), "01ARYZ6S41");
}

}  // namespace
}  // namespace recap::test
