// SPDX-License-Identifier: Apache-2.0
// What the containerd backend alone can do, seen through the real host program as root without capabilities, on a real containerd.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <recap/plugin.h>
#include <unistd.h>

#include "daemon/host/loader.hpp"
#include "tests/contract/containerd_world.hpp"
#include "tests/contract/observed_host.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class ContainerdBackend : public testing::Test {
protected:
    const Target* withId(const ObservedHost& host, const std::string& id) const {
        const auto found = host.targets().find(id);
        return found == host.targets().end() ? nullptr : &found->second;
    }
    bool untilId(ObservedHost& host, const std::string& id) const {
        return host.until([&] { return withId(host, id) != nullptr; });
    }
    std::string id(const std::string& name) const { return engine_.nameSpace() + "/" + name; }

    Containerd& engine_ = sharedContainerd();
    ContainerdWorld world_{engine_};
};

TEST_F(ContainerdBackend, ItsHostIsRootWithoutAnyCapability) {
    auto argv = world_.asItsUser();
    for (const char* word : {"grep", "-E", "^(CapPrm|CapEff|CapBnd|Uid)", "/proc/self/status"}) argv.push_back(word);
    EXPECT_EQ(mustRun(Command{.argv = argv}).out,
              "Uid:\t0\t0\t0\t0\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n");
}

TEST_F(ContainerdBackend, OneIdInTwoNamespacesIsTwoTargets) {
    const std::string other = engine_.nameSpace("other");
    engine_.useNamespace(other);
    const pid_t first = engine_.run(engine_.nameSpace(), "app");
    const pid_t second = engine_.run(other, "app");
    ObservedHost host(world_);
    ASSERT_TRUE(untilId(host, id("app")));
    ASSERT_TRUE(untilId(host, other + "/app"));
    EXPECT_EQ(withId(host, id("app"))->pid, first);
    EXPECT_EQ(withId(host, other + "/app")->pid, second);
    EXPECT_EQ(host.allNamed("app").size(), 2u);
    EXPECT_EQ(withId(host, id("app"))->runtime, "runc");
    EXPECT_EQ(withId(host, id("app"))->image, "docker.io/library/recap-app:v1");
    EXPECT_THAT(withId(host, id("app"))->cgroup, HasSubstr(id("app")));
    EXPECT_THAT(withId(host, id("app"))->details, Contains(Pair("user-namespace", "host")));
}

TEST_F(ContainerdBackend, ANewNamespaceAppears) {
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    const std::string fresh = engine_.nameSpace("new");
    engine_.useNamespace(fresh);
    engine_.run(fresh, "app");
    EXPECT_TRUE(untilId(host, fresh + "/app"));
}

TEST_F(ContainerdBackend, KubernetesContainersAreCalledByTheirPod) {
    const std::map<std::string, std::string> pod{
        {"io.kubernetes.pod.name", "web-0"}, {"io.kubernetes.pod.namespace", "shop"}, {"io.kubernetes.pod.uid", "7-7"}};
    auto sandbox = pod;
    sandbox.insert({{"io.cri-containerd.kind", "sandbox"}, {"app", "web"}});
    auto nginx = pod;
    nginx.insert({{"io.cri-containerd.kind", "container"}, {"io.kubernetes.container.name", "nginx"}});
    engine_.run(engine_.nameSpace(), "sandbox", sandbox);
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    engine_.run(engine_.nameSpace(), "3f2", nginx);
    ASSERT_TRUE(untilId(host, id("3f2")));
    const Target& target = *withId(host, id("3f2"));
    EXPECT_EQ(target.name, "web-0/nginx");
    EXPECT_THAT(target.aliases, ElementsAre("shop/web-0/nginx", "3f2"));
    EXPECT_THAT(target.labels, Contains(Pair("app", "web"))) << "the pod's own";
    EXPECT_EQ(withId(host, id("sandbox")), nullptr);
    EXPECT_TRUE(host.find("shop/web-0/nginx"));
}

TEST_F(ContainerdBackend, APausedTaskIsToldAsPaused) {
    engine_.run(engine_.nameSpace(), "app");
    ObservedHost host(world_);
    ASSERT_TRUE(untilId(host, id("app")));
    engine_.ctr(engine_.nameSpace(), {"tasks", "pause", "app"});
    EXPECT_TRUE(host.until([&] { return withId(host, id("app"))->state == TargetState::Paused; }));
    engine_.ctr(engine_.nameSpace(), {"tasks", "resume", "app"});
    EXPECT_TRUE(host.until([&] { return withId(host, id("app"))->state == TargetState::Running; }));
}

TEST_F(ContainerdBackend, AnExecsEndIsNotTheContainers) {
    engine_.run(engine_.nameSpace(), "app");
    ObservedHost host(world_);
    ASSERT_TRUE(untilId(host, id("app")));
    engine_.ctr(engine_.nameSpace(), {"tasks", "exec", "--exec-id", "once", "app", "/bin/true"});
    engine_.run(engine_.nameSpace(), "later");
    ASSERT_TRUE(untilId(host, id("later")));
    EXPECT_NE(withId(host, id("app")), nullptr);
}

TEST_F(ContainerdBackend, AStoppedContainerIsNamedAsStopped) {
    const pid_t pid = engine_.run(engine_.nameSpace(), "app");
    ObservedHost host(world_);
    ASSERT_TRUE(untilId(host, id("app")));
    engine_.ctr(engine_.nameSpace(), {"tasks", "kill", "-s", "SIGKILL", "app"});
    ASSERT_TRUE(waitUntil([&] { return !processOf(pid); }, Deadline(kPatience)));
    ASSERT_TRUE(host.until([&] { return withId(host, id("app")) == nullptr; }));
    const auto found = host.find("app");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, Errc::NotFound);
    EXPECT_THAT(found.error().message, HasSubstr("container 'app' in namespace '" + engine_.nameSpace() + "' is not running (stopped)"));
}

// The container lives on under its shim: it stays a target, and what happened meanwhile is seen afterwards.
TEST_F(ContainerdBackend, AContainerdThatIsKilledAndComesBackLosesNobody) {
    const pid_t stays = engine_.run(engine_.nameSpace(), "stays");
    const pid_t goes = engine_.run(engine_.nameSpace(), "goes");
    ObservedHost host(world_);
    ASSERT_TRUE(untilId(host, id("goes")));
    engine_.killDaemon();
    ASSERT_TRUE(host.until([&] { return host.status().state != BackendState::Ready; }));
    EXPECT_THAT(host.status().detail, HasSubstr(engine_.socket().string()));
    EXPECT_NE(withId(host, id("stays")), nullptr);
    ASSERT_EQ(::kill(goes, SIGKILL), 0);
    engine_.startDaemon();
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    EXPECT_TRUE(host.until([&] { return withId(host, id("goes")) == nullptr; }));
    ASSERT_NE(withId(host, id("stays")), nullptr);
    EXPECT_EQ(withId(host, id("stays"))->pid, stays);
    engine_.run(engine_.nameSpace(), "comes");
    EXPECT_TRUE(untilId(host, id("comes")));
}

TEST(ContainerdEngine, AnAbsentOneIsWaitedFor) {
    Containerd& engine = sharedContainerd();
    const ContainerdWorld world(engine);
    engine.killDaemon();
    fs::remove(engine.socket());
    ObservedHost host(world);
    const std::string absent = "no socket at '" + engine.socket().string() + "'";
    ASSERT_TRUE(host.until([&] { return host.status().state == BackendState::Waiting && host.status().detail == absent; }))
        << host.status().detail;
    engine.startDaemon();
    EXPECT_TRUE(host.untilReady()) << host.status().detail;
    engine.run(engine.nameSpace(), "app");
    ASSERT_TRUE(host.untilNamed("app"));
}

// Through the plugin's own table, as its host does.
TEST_F(ContainerdBackend, AnImageIsExportedAsOthersReadIt) {
    const auto loaded = host::loadPlugin(world_.pluginsDir().string(), "containerd");
    ASSERT_TRUE(loaded) << loaded.error().message;
    const recap_host self{sizeof self, RECAP_PLUGIN_ABI_MINOR, nullptr, "test", "containerd", nullptr};
    const std::string endpoint = engine_.endpoint();
    const recap_pair setting{{"endpoint", 8}, {endpoint.data(), endpoint.size()}};
    recap_error error{sizeof error, 0, {}};
    const recap_backend* backend = loaded->backends->create(loaded->backends, &self, &setting, 1, &error);
    ASSERT_NE(backend, nullptr) << error.message;
    const auto* images = static_cast<const recap_image_source*>(backend->get_extension(backend->self, RECAP_IMAGES_EXTENSION));
    ASSERT_NE(images, nullptr);
    const TempDir folder;
    const std::string archive = folder.path() / "image.tar";
    const UniqueFd out(::open(archive.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    int never[2];
    ASSERT_EQ(::pipe2(never, O_CLOEXEC), 0);
    const UniqueFd stop(never[0]), open(never[1]);
    const std::string reference = "recap-app:v1";
    EXPECT_EQ(images->export_image(images->self, {reference.data(), reference.size()}, out.get(), stop.get(), &error), RECAP_OK)
        << error.message;
    backend->destroy(backend->self);
    const auto inspected = mustRun({"skopeo", "inspect", "oci-archive:" + archive});
    EXPECT_THAT(inspected.out, HasSubstr("\"Digest\": \"sha256:"));
    EXPECT_THAT(inspected.out, HasSubstr("\"Os\": \"linux\""));
    EXPECT_THAT(mustRun({"skopeo", "inspect", "--raw", "oci-archive:" + archive}).out, HasSubstr("layers"));
}

}  // namespace
}  // namespace recap::test
