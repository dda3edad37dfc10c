// SPDX-License-Identifier: Apache-2.0
// What the docker backend alone can do, seen through the real host program with recap-docker's rights, on real engines and a fake
// one.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "daemon/host/loader.hpp"
#include "tests/contract/docker_world.hpp"
#include "tests/contract/observed_host.hpp"
#include "tests/support/engines/fake_docker.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class DockerBackend : public testing::Test {
protected:
    ~DockerBackend() override {
        for (const auto& name : started_) docker_.remove(name);
    }
    std::string name(const std::string& what) const { return "recap-docker-" + what + "-" + std::to_string(::getpid()); }
    pid_t run(const std::string& what, const std::map<std::string, std::string>& labels = {}, const std::vector<std::string>& options = {},
              const std::vector<std::string>& command = {}) {
        started_.push_back(name(what));
        return docker_.run(name(what), labels, options, command);
    }
    bool until(ObservedHost& host, const std::string& what, const std::function<bool(const Target&)>& is) const {
        return host.until([&] {
            const Target* target = host.named(name(what));
            return target != nullptr && is(*target);
        });
    }

    Dockerd& docker_ = sharedDockerd();
    EndpointWorld world_{docker_.endpoint()};
    std::vector<std::string> started_;
};

std::string detailOf(const Target& target, const std::string& key) {
    const auto found = target.details.find(key);
    return found == target.details.end() ? std::string() : found->second;
}

std::string rightsOf(std::vector<std::string> argv) {
    for (const char* word : {"grep", "-E", "^(CapEff|CapBnd|Uid|Groups)", "/proc/self/status"}) argv.emplace_back(word);
    return mustRun(Command{.argv = argv}).out;
}

TEST_F(DockerBackend, ItsHostHasNoCapabilityAndAGroup) {
    const std::string gid = std::to_string([&] {
        struct stat info {};
        ::stat(docker_.socket().c_str(), &info);
        return info.st_gid;
    }());
    EXPECT_EQ(rightsOf(asRecapDocker()),
              "Uid:\t65534\t65534\t65534\t65534\nGroups:\t" + gid + " \nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n");
    EXPECT_THAT(rightsOf(asBareRoot()), HasSubstr("CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"));
}

TEST_F(DockerBackend, AContainerIsTheEnginesOwn) {
    run("whole");
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilNamed(name("whole")));
    const Target& target = *host.named(name("whole"));
    EXPECT_EQ(target.id.id + "\n", docker_.docker({"inspect", "--format={{.Id}}", name("whole")}).out);
    EXPECT_EQ(target.image, "recap-app:v1");
    EXPECT_EQ(target.runtime, "runc");
    EXPECT_THAT(target.cgroup, HasSubstr(target.id.id));
    EXPECT_EQ(detailOf(target, "restarts"), "0");
    EXPECT_EQ(detailOf(target, "user-namespace"), "host");
    EXPECT_EQ(detailOf(target, "health"), "");
}

TEST_F(DockerBackend, HealthIsFollowed) {
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilReady());
    run("health", {}, {"--health-cmd=test ! -e /tmp/sick", "--health-interval=200ms", "--health-retries=1"});
    EXPECT_TRUE(until(host, "health", [](const Target& target) { return detailOf(target, "health") == "healthy"; }));
    docker_.docker({"exec", name("health"), "touch", "/tmp/sick"});
    EXPECT_TRUE(until(host, "health", [](const Target& target) { return detailOf(target, "health") == "unhealthy"; }));
}

TEST_F(DockerBackend, ARestartByTheEngineIsANewLifeUnderTheSameId) {
    const pid_t before = run("restarts", {}, {"--restart=always"});
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilNamed(name("restarts")));
    const std::string id = host.named(name("restarts"))->id.id;
    ::kill(before, SIGKILL);
    EXPECT_TRUE(until(host, "restarts", [&](const Target& target) { return target.pid != before && detailOf(target, "restarts") == "1"; }));
    const Target& target = *host.named(name("restarts"));
    EXPECT_EQ(target.id.id, id);
    EXPECT_EQ(target.startTime, processOf(target.pid)->startTime);
}

TEST_F(DockerBackend, ComposesNamesAreAliases) {
    run("web-2",
        {{"com.docker.compose.project", "shop"}, {"com.docker.compose.service", "web"}, {"com.docker.compose.container-number", "2"}});
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilNamed(name("web-2")));
    EXPECT_THAT(host.named(name("web-2"))->aliases, ElementsAre("shop/web", "shop/web/2"));
}

TEST_F(DockerBackend, APausedContainerIsOneThatIsPaused) {
    run("paused");
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilNamed(name("paused")));
    docker_.docker({"pause", name("paused")});
    EXPECT_TRUE(until(host, "paused", [](const Target& target) { return target.state == TargetState::Paused; }));
    ObservedHost late(world_);
    EXPECT_TRUE(until(late, "paused", [](const Target& target) { return target.state == TargetState::Paused; })) << "in a snapshot, too";
    docker_.docker({"unpause", name("paused")});
    EXPECT_TRUE(until(host, "paused", [](const Target& target) { return target.state == TargetState::Running; }));
}

TEST_F(DockerBackend, ARenamedContainerIsKnownByItsNewName) {
    run("old");
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilNamed(name("old")));
    docker_.docker({"rename", name("old"), name("new")});
    started_ = {name("new")};
    EXPECT_TRUE(host.untilNamed(name("new")));
    EXPECT_TRUE(host.untilGone(name("old")));
}

TEST_F(DockerBackend, AContainerThatDoesNotRunIsRefusedInWords) {
    run("ended", {}, {}, {"sh", "-c", "exit 3"});
    docker_.docker({"wait", name("ended")});
    docker_.docker({"create", "--network=none", "--name=" + name("created"), Dockerd::kImage});
    started_.push_back(name("created"));
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilReady());
    EXPECT_EQ(host.named(name("ended")), nullptr);
    const auto ended = host.find(name("ended"));
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, Errc::NotFound);
    EXPECT_EQ(ended.error().message, "world: container '" + name("ended") + "' is not running (exited, status 3)");
    EXPECT_EQ(host.find(name("created")).error().message, "world: container '" + name("created") + "' is not running (created)");
    EXPECT_EQ(host.find("../info").error().message, "world: no container '../info'");
}

TEST_F(DockerBackend, AnEngineThatIsKilledKeepsItsTargetsAndIsSeenAgain) {
    const pid_t stays = run("stays");
    run("goes");
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilNamed(name("goes")));
    const pid_t goes = host.named(name("goes"))->pid;
    docker_.killDaemon();
    ASSERT_TRUE(host.until([&] { return host.status().state != BackendState::Ready; }));
    EXPECT_NE(host.named(name("stays")), nullptr) << "targets outlive their engine";
    ::kill(goes, SIGKILL);  // an end that no event tells
    docker_.startDaemon();
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    EXPECT_TRUE(host.untilGone(name("goes")));
    ASSERT_NE(host.named(name("stays")), nullptr);
    EXPECT_EQ(host.named(name("stays"))->pid, stays);
    run("comes");
    EXPECT_TRUE(host.untilNamed(name("comes")));
}

// The backend's images, by the plugin itself in this process.
class Images {
public:
    explicit Images(const std::string& endpoint) {
        const auto loaded = host::loadPlugin((fs::path(binDir()).parent_path() / "lib/recap/plugins").string(), "docker");
        if (!loaded) throw std::runtime_error(loaded.error().message);
        const std::string key = "endpoint";
        const recap_pair setting{{key.data(), key.size()}, {endpoint.data(), endpoint.size()}};
        const recap_host self{sizeof self, RECAP_PLUGIN_ABI_MINOR, nullptr, "test", "docker", nullptr};
        const auto* factory = static_cast<const recap_backend_factory*>(loaded->entry->get_factory(loaded->entry, RECAP_BACKEND_FACTORY));
        backend_ = factory->create(factory, &self, &setting, 1, &error_);
        if (backend_ == nullptr) throw std::runtime_error(error_.message);
        images_ = static_cast<const recap_image_source*>(backend_->get_extension(backend_->self, RECAP_IMAGES_EXTENSION));
    }
    ~Images() { backend_->destroy(backend_->self); }
    std::int32_t write(const std::string& reference, int out, int stop) {
        return images_->export_image(images_->self, {reference.data(), reference.size()}, out, stop, &error_);
    }
    std::string message() const { return error_.message; }

private:
    recap_error error_{sizeof(recap_error), 0, {}};
    const recap_backend* backend_ = nullptr;
    const recap_image_source* images_ = nullptr;
};

void expectImages(const std::string& endpoint, const std::string& reference) {
    const TempDir folder;
    const fs::path archive = folder.path() / "image.tar";
    int never[2];
    ASSERT_EQ(::pipe2(never, O_CLOEXEC), 0);
    const UniqueFd stop(never[0]), stopping(never[1]);
    Images images(endpoint);
    {
        const UniqueFd out(::open(archive.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        ASSERT_EQ(images.write(reference, out.get(), stop.get()), RECAP_OK) << images.message();
        EXPECT_EQ(images.write("recap-none:v1", out.get(), stop.get()), RECAP_NOT_FOUND);
        EXPECT_EQ(images.message(), "no image 'recap-none:v1'");
        EXPECT_EQ(images.write("a?b", out.get(), stop.get()), RECAP_INVALID);
    }
    EXPECT_THAT(lines(mustRun({"tar", "-tf", archive.string()}).out), AllOf(Contains("manifest.json"), Contains(HasSubstr(".json"))));
    EXPECT_THAT(mustRun({"tar", "-xOf", archive.string(), "manifest.json"}).out, HasSubstr(reference));
    // A reader that has gone, and one that does not read while the host has to stop.
    ::signal(SIGPIPE, SIG_IGN);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    UniqueFd reads(ends[0]);
    const UniqueFd writes(ends[1]);
    std::thread stopper([&] {
        waitUntil([&] { return waitReadable(reads.get(), Deadline(kPatience)); }, Deadline(kPatience));
        [[maybe_unused]] const auto wrote = ::write(stopping.get(), "x", 1);
    });
    EXPECT_EQ(images.write(reference, writes.get(), stop.get()), RECAP_UNAVAILABLE) << images.message();
    stopper.join();
    char used = 0;
    ASSERT_EQ(::read(stop.get(), &used, 1), 1);
    reads.reset();
    EXPECT_EQ(images.write(reference, writes.get(), stop.get()), RECAP_INTERNAL) << images.message();
}

TEST_F(DockerBackend, ItsImagesAreArchives) { expectImages(docker_.endpoint(), "recap-app:v1"); }

TEST(PodmanBackend, ItsImagesAreArchives) { expectImages(sharedPodman().endpoint(), "docker.io/library/recap-app:v1"); }

TEST(PodmanBackend, TheRuntimeIsPodmansOwnWordForIt) {
    Podman& podman = sharedPodman();
    const std::string name = "recap-podman-runtime-" + std::to_string(::getpid());
    podman.run(name);
    const EndpointWorld world(podman.endpoint(), asBareRoot());
    ObservedHost host(world);
    EXPECT_TRUE(host.untilNamed(name));
    if (const Target* target = host.named(name)) {
        EXPECT_EQ(target->runtime, "runc");
        EXPECT_EQ(target->image, "docker.io/library/recap-app:v1");
    }
    podman.podman({"kill", name});
    EXPECT_TRUE(host.untilGone(name));
    // It is "stopped" first, and "exited" once podman has cleaned up.
    const std::string ended = "container '" + name + "' is not running (exited, status 137)";
    EXPECT_TRUE(host.until([&] { return host.find(name).error().message.find(ended) != std::string::npos; }));
    podman.remove(name);
}

// Engines that are none, or bad ones.
class FakeEngine : public testing::Test {
protected:
    void start() {
        fake_ = std::make_unique<FakeDocker>(folder_.path() / "engine.sock");
        ::chmod((folder_.path() / "engine.sock").c_str(), 0666);
    }
    TempDir folder_{"recap-fake-docker"};
    EndpointWorld world_{"unix://" + (folder_.path() / "engine.sock").string()};
    std::unique_ptr<FakeDocker> fake_;
};

TEST_F(FakeEngine, IsWaitedForAndSeenWhenItComesGoesAndComesAgain) {
    ObservedHost host(world_);
    ASSERT_TRUE(host.until([&] { return host.status().detail.find("no socket at ") != std::string::npos; })) << host.status().detail;
    EXPECT_EQ(host.status().state, BackendState::Waiting);
    for (int i = 0; i < 2; ++i) {
        start();
        ASSERT_TRUE(host.untilReady()) << host.status().detail;
        fake_.reset();
        ASSERT_TRUE(host.until([&] { return host.status().state == BackendState::Waiting; })) << host.status().detail;
    }
}

TEST_F(FakeEngine, ThatMayNotBeUsedSaysWhoMay) {
    start();
    ::chmod((folder_.path() / "engine.sock").c_str(), 0600);
    ObservedHost host(world_);
    ASSERT_TRUE(host.until([&] { return host.status().detail.find("no right to use ") != std::string::npos; })) << host.status().detail;
    EXPECT_EQ(host.status().state, BackendState::Unavailable);
    ::chmod((folder_.path() / "engine.sock").c_str(), 0666);
    EXPECT_TRUE(host.untilReady()) << host.status().detail;
}

TEST_F(FakeEngine, ThatAnswersNonsenseIsUnavailableAndTriedAgain) {
    start();
    fake_->answer("/containers/json", FakeReply{.body = "[[[["});
    ObservedHost host(world_);
    ASSERT_TRUE(host.until([&] { return host.status().detail.find("a list of containers that is no JSON array") != std::string::npos; }))
        << host.status().detail;
    EXPECT_EQ(host.status().state, BackendState::Unavailable);
    fake_->answer("/containers/json", FakeReply{.body = "[]"});
    EXPECT_TRUE(host.untilReady()) << host.status().detail;
}

// Processes that are each in a cgroup of their own that is called by an id, as an engine's are.
class ManyProcesses {
public:
    explicit ManyProcesses(unsigned count) : folder_(unifiedCgroups() / ("recap-many-" + std::to_string(::getpid()))) {
        for (unsigned i = 1; i <= count; ++i) {
            fs::create_directories(folder_ / fakeId(i));
            const pid_t pid = ::fork();
            if (pid == 0) {
                ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) ::pause();
            }
            pids.push_back(pid);
            writeFile(folder_ / fakeId(i) / "cgroup.procs", std::to_string(pid));
        }
    }
    ~ManyProcesses() {
        for (const pid_t pid : pids) ::kill(pid, SIGKILL);
        for (const pid_t pid : pids) ::waitpid(pid, nullptr, 0);
        std::error_code ignored;
        for (unsigned i = 1; i <= pids.size(); ++i)
            waitUntil([&] { return fs::remove(folder_ / fakeId(i), ignored); }, Deadline(kPatience));
        fs::remove(folder_, ignored);
    }
    std::vector<pid_t> pids;

private:
    fs::path folder_;
};

TEST_F(FakeEngine, ManyContainersAreOneSnapshot) {
    constexpr unsigned count = 256;
    const ManyProcesses many(count);
    start();
    for (unsigned i = 1; i <= count; ++i) fake_->put({.id = fakeId(i), .name = "c" + std::to_string(i), .pid = many.pids[i - 1]});
    const auto before = std::chrono::steady_clock::now();
    ObservedHost host(world_);
    ASSERT_TRUE(host.untilReady()) << host.status().detail;
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - before);
    EXPECT_EQ(host.targets().size(), count);
    std::printf("%u containers told %lld ms after the host's start\n", count, static_cast<long long>(took.count()));
    // The engine's word for a pid is not enough.
    fake_->put({.id = fakeId(1000), .name = "stranger", .pid = many.pids[0]});
    fake_->put({.id = fakeId(1), .name = "c1", .pid = many.pids[1]});
    fake_->event("start", fakeId(1000));
    fake_->event("start", fakeId(1));
    EXPECT_TRUE(host.untilGone("c1"));
    EXPECT_EQ(host.named("stranger"), nullptr);
    EXPECT_THAT(host.find("stranger").error().message, HasSubstr("container 'stranger' has just ended"));
}

}  // namespace
}  // namespace recap::test
