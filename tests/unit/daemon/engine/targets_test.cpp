// SPDX-License-Identifier: Apache-2.0
#include "targets.hpp"

namespace recap::test {
namespace {

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

TEST_F(TargetsTest, ResolvesByIdByNameAndByPrefix) {
    table.added(target("docker", "3f2a9c77b1de0042aa", "web"));
    table.added(target("process", "4242", "nginx", ::getppid()));
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
    table.added(target("process", "4242", "nginx", ::getppid()));
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
    Target container = target("process", "8", "web", ::getppid());
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
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 1000; ++i) {
        if (i % 8 == 0) children.push_back(std::make_unique<Child>());
        table.added(target("docker", std::to_string(i), "t", children.back()->pid()));
    }
    const auto first = launcher.inspects.size();
    EXPECT_LT(first, 100u);
    // Somebody waits for the last one: it is next.
    bool ready = false;
    table.whenReady("docker:999", [&](const Result<Target>& target) { ready = target.has_value(); });
    auto pending = std::exchange(launcher.inspects, {});
    pending.front()(factsOf(children.front()->pid()));
    ASSERT_EQ(launcher.inspects.size(), 1u);
    launcher.inspects.front()(factsOf(children.back()->pid()));
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
    table.added(target("process", "1", "b", ::getppid()));
    table.snapshot("docker", {target("docker", "c", "c")});
    EXPECT_EQ(heard.removed, std::vector<std::string>{"docker:a"});
    EXPECT_EQ(table.list().size(), 2u);
}

// One container, as three backends tell of it.
TEST_F(TargetsTest, OneProcessIsOneTargetWhoeverTellsOfIt) {
    const Child child;
    const std::string hex = "3f2a9c77b1de0042aa";
    table.added(target("process", "4242", hex, child.pid()));
    EXPECT_EQ(resolved("4242"), "process:4242");
    table.added(target("containerd", "moby/" + hex, hex, child.pid()));
    table.added(target("docker", hex, "web", child.pid()));
    EXPECT_EQ(heard.added, (std::vector<std::string>{"process:4242", "containerd:moby/" + hex, "docker:" + hex}));
    EXPECT_EQ(heard.removed, (std::vector<std::string>{"process:4242", "containerd:moby/" + hex}));
    ASSERT_EQ(table.list().size(), 1u);
    EXPECT_EQ(table.list().front()->id.text(), "docker:" + hex);
    EXPECT_EQ(table.others(*table.list().front()), (std::vector<TargetId>{{"containerd", "moby/" + hex}, {"process", "4242"}}));
    for (const auto& name :
         std::vector<std::string>{"web", hex, "process:4242", "containerd:moby/" + hex, "containerd:" + hex, "docker:" + hex})
        EXPECT_EQ(resolved(name), "docker:" + hex) << name;
    for (const auto& status : table.backends()) EXPECT_EQ(status.targets, status.name == "docker" ? 1u : 0u) << status.name;
    table.added(target("process", "4242", "renamed", child.pid()));
    EXPECT_EQ(heard.added.size(), 3u) << "a hidden one that changes stays hidden";
}

TEST_F(TargetsTest, WhereTheBetterBackendGoesTheOtherOneIsShown) {
    const Child child;
    table.added(target("docker", "a", "web", child.pid()));
    table.added(target("process", "4242", "web", child.pid()));
    EXPECT_EQ(heard.added, std::vector<std::string>{"docker:a"});
    table.snapshot("docker", {});
    EXPECT_EQ(heard.added, (std::vector<std::string>{"docker:a", "process:4242"}));
    EXPECT_EQ(heard.removed, std::vector<std::string>{"docker:a"});
    EXPECT_EQ(resolved("web"), "process:4242");
}

TEST_F(TargetsTest, ThatWhichHasEndedIsNobodysTarget) {
    for (const bool byItsBackend : {false, true}) {
        heard = {};
        Child child;
        table.added(target("docker", "a", "web", child.pid()));
        table.added(target("process", "4242", "web", child.pid()));
        child.end();
        if (byItsBackend)
            table.removed({"docker", "a"});
        else
            turnUntil(loop.get(), [&] { return table.list().empty(); });
        EXPECT_EQ(heard.added, std::vector<std::string>{"docker:a"}) << byItsBackend;
        EXPECT_EQ(heard.removed, std::vector<std::string>{"docker:a"}) << byItsBackend;
        EXPECT_EQ(resolved("process:4242").substr(0, 8), "NotFound") << byItsBackend;
    }
}

TEST_F(TargetsTest, WhoWaitsForTheOneGetsTheOther) {
    const Child child;
    table.added(target("process", "4242", "web", child.pid()));
    std::string ready;
    table.whenReady("process:4242", [&](const Result<Target>& target) { ready = target ? target->id.text() : target.error().message; });
    table.added(target("docker", "a", "web", child.pid()));
    for (auto& answer : std::exchange(launcher.inspects, {})) answer(factsOf(child.pid()));
    EXPECT_EQ(ready, "docker:a");
}

TEST_F(TargetsTest, AliasesAreNames) {
    Target web = target("docker", "a", "shop-web-1");
    web.aliases = {"shop/web", "shop/web/1"};
    table.added(web);
    EXPECT_EQ(resolved("shop/web"), "docker:a");
    EXPECT_EQ(resolved("docker:shop/web/1"), "docker:a");
    web.aliases = {"shop/front"};
    table.added(web);
    EXPECT_EQ(resolved("docker:shop/web"), "NotFound: docker: no container 'shop/web'");
    EXPECT_EQ(resolved("shop/front"), "docker:a");
}

TEST_F(TargetsTest, OtherWordsOfALifeAreHeardAndTheSameAreNot) {
    Target web = target("process", "17", "sh");
    table.added(web);
    table.added(web);
    EXPECT_THAT(heard.changed, testing::IsEmpty());
    web.name = "shop-web-1";
    table.added(web);
    web.labels = {{"app", "web"}};
    table.added(web);
    web.aliases = {"shop/web"};
    table.added(web);
    web.image = "nginx:1";
    table.added(web);
    web.cgroup = "/nowhere";  // it can't be run on, and is known all the same
    web.labels = {{"app", "db"}};
    table.added(web);
    const std::string once = "process:17 shop-web-1";
    EXPECT_THAT(heard.changed, testing::ElementsAre(once, once, once, once, once));
    EXPECT_THAT(heard.added, testing::ElementsAre("process:17"));
    web.cgroup = {};
    table.added(web);
    table.added(target("docker", "a", "web"));
    heard.changed.clear();
    web.labels = {};
    table.added(web);
    EXPECT_THAT(heard.changed, testing::IsEmpty()) << "it is not listed, as a better backend tells of it";
}

TEST_F(TargetsTest, AnAliasYieldsToNamesAndToPrefixes) {
    const Child child;
    Target posing = target("docker", "a", "posing", child.pid());
    posing.aliases = {"web", "k8s.io/3f2a9c77b1de"};
    table.added(posing);
    EXPECT_EQ(resolved("web"), "docker:a");
    table.added(target("docker", "b", "web"));
    EXPECT_EQ(resolved("web"), "docker:b");
    table.added(target("containerd", "k8s.io/3f2a9c77b1de0042aa", "shop/web-0/nginx", ::getppid()));
    EXPECT_EQ(resolved("k8s.io/3f2a9c77b1de"), "containerd:k8s.io/3f2a9c77b1de0042aa");
}

TEST_F(TargetsTest, ABackendThatCallsOneProcessByManyNamesIsHeardSoOften) {
    Child child;
    for (int i = 0; i < 5000; ++i) table.added(target("docker", "id" + std::to_string(i), "web", child.pid()));
    EXPECT_EQ(table.list().size(), 8u);
    child.end();
    turnUntil(loop.get(), [&] { return table.list().empty(); });
    EXPECT_EQ(heard.removed.size(), 8u);
}

// Its backend says another cgroup than it is in: it is refused, and no longer in the way of those that have the process as it is.
TEST_F(TargetsTest, OneThatIsNotPinnedAnyMoreHidesNobody) {
    const Child child;
    table.added(target("docker", "a", "web", child.pid()));
    table.added(target("process", "4242", "web", child.pid()));
    Target moved = target("docker", "a", "web", child.pid());
    moved.cgroup = "/docker/of-somebody-else";
    table.added(moved);
    EXPECT_EQ(resolved("process:4242"), "process:4242");
    EXPECT_EQ(table.list().size(), 2u);
    table.added(target("docker", "a", "web", child.pid()));
    EXPECT_EQ(resolved("process:4242"), "docker:a");
    EXPECT_EQ(table.list().size(), 1u);
    EXPECT_EQ(resolved("docker:a"), "docker:a");
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
