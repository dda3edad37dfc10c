// SPDX-License-Identifier: Apache-2.0
// What the process backend alone can do, seen through the real host program with recap-process's rights.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/contract/observed_host.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A world without containers of its own: tests make what they look for.
class Machine : public World {
public:
    explicit Machine(std::string settings) : settings_(std::move(settings)) {}
    std::string plugin() const override { return "process"; }
    fs::path pluginsDir() const override { return fs::path(variable("RECAP_BUILD_DIR", "ctest")) / "lib/recap/plugins"; }
    std::string settings() const override { return settings_; }
    std::vector<std::string> asItsUser() const override { return asRecapProcess(); }
    pid_t start(const std::string&, const std::map<std::string, std::string>&) override { return 0; }
    void end(const std::string&) override {}

private:
    std::string settings_;
};

const Target* withPid(const ObservedHost& host, pid_t pid) {
    const auto found = host.targets().find(std::to_string(pid));
    return found == host.targets().end() ? nullptr : &found->second;
}

// The one child of a program that forks once, when it has exec'ed `name`.
pid_t onlyChild(pid_t parent, const std::string& name) {
    pid_t child = 0;
    waitUntil(
        [&] {
            const auto children = childrenOf(parent);
            const auto process = children.size() == 1 ? processOf(children.front()) : std::nullopt;
            child = process && process->name == name ? children.front() : 0;
            return child != 0;
        },
        Deadline(kPatience));
    return child;
}

// A cgroup of a test's own in a v1 hierarchy or the unified one, as an engine would name it.
class TestCgroup {
public:
    explicit TestCgroup(const std::string& name) {
        root_ = unifiedCgroups();
        path_ = root_ / "recap-contract" / name;
        fs::create_directories(path_);
    }
    ~TestCgroup() {
        std::error_code ignored;
        waitUntil([&] { return fs::remove(path_, ignored); }, Deadline(kPatience));
        for (auto folder = path_.parent_path(); folder != root_; folder = folder.parent_path()) fs::remove(folder, ignored);
    }
    void enter(pid_t pid) const { writeFile(path_ / "cgroup.procs", std::to_string(pid)); }

private:
    fs::path root_;
    fs::path path_;
};

class ProcessBackend : public testing::Test {
protected:
    const Machine& machine() const { return machine_; }
    TempDir folder_{"recap-roots"};
    Machine machine_{"roots = [\"" + folder_.path().string() + "/*/state\"]\ninterval = \"100ms\"\n"};
};

TEST_F(ProcessBackend, ItsHostHasOneCapabilityAndIsNotRoot) {
    const CommandResult status = mustRun(Command{.argv = [] {
        auto argv = asRecapProcess();
        for (const char* word : {"grep", "-E", "^(CapEff|CapBnd|Uid)", "/proc/self/status"}) argv.push_back(word);
        return argv;
    }()});
    EXPECT_EQ(status.out, "Uid:\t65534\t65534\t65534\t65534\nCapEff:\t0000000000000004\nCapBnd:\t0000000000000004\n");
}

TEST_F(ProcessBackend, AContainerIsSeenByItsCgroupWhereNoRuntimeTellsOfIt) {
    const std::string own = std::to_string(::getpid());  // also decimal digits are hexadecimal ones
    const std::string id = std::string(64 - own.size(), 'a') + own;
    TestCgroup cgroup("docker-" + id + ".scope");
    const Child container(Command{.argv = {"unshare", "--fork", "--kill-child", "--pid", "--net", "sleep", "86400"}});
    const pid_t init = onlyChild(container.pid(), "sleep");
    ASSERT_NE(init, 0);
    cgroup.enter(init);
    ObservedHost host(machine());
    ASSERT_TRUE(host.untilNamed(id));
    EXPECT_EQ(host.named(id)->pid, init);
    EXPECT_EQ(host.named(id)->runtime, "docker");
}

TEST_F(ProcessBackend, APidOrNetworkNamespaceIsSeenWithoutAnyEngine) {
    const Child inPid(Command{.argv = {"unshare", "--fork", "--kill-child", "--pid", "sleep", "86400"}});
    const Child inNet(Command{.argv = {"unshare", "--net", "sleep", "86401"}});
    const pid_t init = onlyChild(inPid.pid(), "sleep");
    ASSERT_NE(init, 0);
    ObservedHost host(machine());
    ASSERT_TRUE(host.until([&] { return withPid(host, init) != nullptr && withPid(host, inNet.pid()) != nullptr; }));
    EXPECT_EQ(withPid(host, init)->runtime, "process");
    EXPECT_EQ(withPid(host, init)->name, "sleep");
}

TEST_F(ProcessBackend, AContainerThatBothRuntimeAndCgroupShowIsOneTarget) {
    ContainerOptions options;
    const std::string own = std::to_string(::getpid());
    options.name = std::string(64 - own.size(), 'b') + own;
    options.kind = "busybox";
    options.argv = {"/bin/sleep", "86400"};
    options.labels = {{"app", "both"}};
    options.runtimeRoot = folder_.path() / "one/state";
    const MicroContainer container(options);
    ObservedHost host(machine());
    ASSERT_TRUE(host.untilNamed(options.name));
    EXPECT_EQ(host.named(options.name)->labels.at("app"), "both");
    EXPECT_EQ(host.named(options.name)->runtime, "runc");
}

TEST_F(ProcessBackend, APidThatNoSnapshotHasIsFoundAndForgottenWhenItEnds) {
    auto other = std::make_unique<Child>(Command{.argv = {"unshare", "--mount", "sleep", "86400"}});
    ASSERT_TRUE(waitUntil([&] { return processOf(other->pid())->name == "sleep"; }, Deadline(kPatience)));
    ObservedHost host(machine());
    ASSERT_TRUE(host.untilReady());
    EXPECT_EQ(withPid(host, other->pid()), nullptr) << "a mount namespace alone is no container";
    const auto found = host.find(std::to_string(other->pid()));
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_NE(withPid(host, other->pid()), nullptr);
    const pid_t pid = other->pid();
    other.reset();
    EXPECT_TRUE(host.until([&] { return withPid(host, pid) == nullptr; }));
}

TEST_F(ProcessBackend, AHostsProcessAKernelThreadAndNobodyAreRefused) {
    ObservedHost host(machine());
    ASSERT_TRUE(host.untilReady());
    const auto own = host.find(std::to_string(::getpid()));
    ASSERT_FALSE(own);
    EXPECT_EQ(own.error().code, Errc::Denied);
    EXPECT_THAT(own.error().message, HasSubstr("no namespace of its own"));
    const auto thread = host.find("2");
    ASSERT_FALSE(thread);
    // A machine that is itself in a pid namespace sees no kernel threads.
    const bool visible = std::filesystem::exists("/proc/2/comm") && test::readFile("/proc/2/comm") == "kthreadd\n";
    EXPECT_THAT(thread.error().message, HasSubstr(visible ? "process 2 (kthreadd) is a kernel thread" : "process 2"));
    const auto nobody = host.find("2147483647");
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code, Errc::NotFound);
}

TEST_F(ProcessBackend, ACapsulesCgroupIsNoTarget) {
    TestCgroup cgroup("launcher/c/01J9ZQ4X8W0000000000000000");
    const Child capsule(Command{.argv = {"unshare", "--net", "sleep", "86400"}});
    const Child marker(Command{.argv = {"unshare", "--net", "sleep", "86401"}});
    ASSERT_TRUE(waitUntil([&] { return processOf(capsule.pid())->name == "sleep" && processOf(marker.pid())->name == "sleep"; },
                          Deadline(kPatience)));
    cgroup.enter(capsule.pid());
    ObservedHost host(machine(), "launcher = \"/recap-contract/launcher\"\n");
    ASSERT_TRUE(host.until([&] { return withPid(host, marker.pid()) != nullptr; }));
    EXPECT_EQ(withPid(host, capsule.pid()), nullptr);
    const auto found = host.find(std::to_string(capsule.pid()));
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().message, HasSubstr("RECap's own"));
}

// A user may call the cgroups below its own as it likes.
TEST_F(ProcessBackend, ACgroupThatIsOnlyCalledLikeRecapsHidesNothing) {
    const TestCgroup capsule("user/c/01J9ZQ4X8W0000000000000000"), daemon("user/recapd.service"),
        launcher("system.slice/recap-launcher.service");
    for (const TestCgroup* cgroup : {&capsule, &daemon, &launcher}) {
        const Child hiding(Command{.argv = {"unshare", "--net", "sleep", "86400"}});
        ASSERT_TRUE(waitUntil([&] { return processOf(hiding.pid())->name == "sleep"; }, Deadline(kPatience)));
        cgroup->enter(hiding.pid());
        ObservedHost host(machine());
        EXPECT_TRUE(host.until([&] { return withPid(host, hiding.pid()) != nullptr; }));
    }
}

TEST_F(ProcessBackend, AnIgnoredCgroupIsSaidByItsWholePath) {
    const TestCgroup cgroup("ignored/below");
    const Child quiet(Command{.argv = {"unshare", "--net", "sleep", "86400"}});
    const Child marker(Command{.argv = {"unshare", "--net", "sleep", "86401"}});
    ASSERT_TRUE(waitUntil([&] { return processOf(quiet.pid())->name == "sleep" && processOf(marker.pid())->name == "sleep"; },
                          Deadline(kPatience)));
    cgroup.enter(quiet.pid());
    ObservedHost host(machine(), "ignore = [\"/recap-contract/ign*\"]\n");
    ASSERT_TRUE(host.until([&] { return withPid(host, marker.pid()) != nullptr; }));
    EXPECT_EQ(withPid(host, quiet.pid()), nullptr);
    ObservedHost wrong(machine(), "ignore = [\"*/ignored\"]\n");
    ASSERT_TRUE(wrong.until([&] { return wrong.status().detail.find("does not begin with '/'") != std::string::npos; }))
        << wrong.status().detail;
}

TEST_F(ProcessBackend, NobodyCallsItselfAnId) {
    const fs::path folder = folder_.path() / "named";
    fs::create_directories(folder);
    std::vector<std::unique_ptr<Child>> squatters;
    for (const std::string name : {"4242", "0123456789abcdef", "plain"}) {  // comm has at most 15 characters
        fs::copy_file("/bin/sleep", folder / name);
        squatters.push_back(std::make_unique<Child>(Command{.argv = {"unshare", "--net", (folder / name).string(), "86400"}}));
    }
    ObservedHost host(machine());
    ASSERT_TRUE(host.untilNamed("plain"));
    for (const auto& squatter : squatters) ASSERT_TRUE(host.until([&] { return withPid(host, squatter->pid()) != nullptr; }));
    EXPECT_EQ(withPid(host, squatters[0]->pid())->name, "");
    EXPECT_EQ(withPid(host, squatters[1]->pid())->name, "");
}

// The one whose runtime tells of it keeps its name, whatever cgroups others make.
TEST_F(ProcessBackend, ACgroupOfTheSameNameDoesNotMakeAContainersNameAmbiguous) {
    ContainerOptions options;
    const std::string own = std::to_string(::getpid());
    options.name = std::string(64 - own.size(), 'c') + own;
    options.kind = "busybox";
    options.argv = {"/bin/sleep", "86400"};
    options.runtimeRoot = folder_.path() / "one/state";
    const MicroContainer container(options);
    const TestCgroup cgroup("user/docker-" + options.name + ".scope");
    const Child squatter(Command{.argv = {"unshare", "--net", "sleep", "86400"}});
    ASSERT_TRUE(waitUntil([&] { return processOf(squatter.pid())->name == "sleep"; }, Deadline(kPatience)));
    cgroup.enter(squatter.pid());
    ObservedHost host(machine());
    ASSERT_TRUE(host.until([&] { return withPid(host, squatter.pid()) != nullptr && withPid(host, container.pid()) != nullptr; }));
    ASSERT_NE(host.named(options.name), nullptr);
    EXPECT_EQ(host.named(options.name)->pid, container.pid());
    EXPECT_EQ(withPid(host, squatter.pid())->name, "");
}

// Anybody may write a state that names anybody's pid: only what its writer could have made counts.
TEST_F(ProcessBackend, AStateOfAUserCannotClaimAnotherUsersProcess) {
    const Child victim(Command{.argv = {"unshare", "--net", "sleep", "86400"}});
    ASSERT_TRUE(waitUntil([&] { return processOf(victim.pid())->name == "sleep"; }, Deadline(kPatience)));
    const fs::path state = folder_.path() / "user/state/claimed";
    fs::create_directories(state);
    writeFile(state / "state.json", "{\"id\":\"claimed\",\"init_process_pid\":" + std::to_string(victim.pid()) +
                                        ",\"init_process_start\":" + std::to_string(processOf(victim.pid())->startTime) +
                                        ",\"config\":{\"labels\":[\"app=nginx\"]}}");
    ASSERT_EQ(::chown((state / "state.json").c_str(), 1000, 1000), 0);
    ObservedHost host(machine());
    ASSERT_TRUE(host.until([&] { return withPid(host, victim.pid()) != nullptr; }));
    EXPECT_EQ(withPid(host, victim.pid())->name, "sleep");
    EXPECT_TRUE(withPid(host, victim.pid())->labels.empty());
    ASSERT_EQ(::chown((state / "state.json").c_str(), 0, 0), 0);
    writeFile(state / "touched", "");
    EXPECT_TRUE(host.untilNamed("claimed")) << "root's word counts";
}

TEST_F(ProcessBackend, BrokenStateHarmsNobody) {
    const fs::path root = folder_.path() / "bad/state";
    const std::map<std::string, std::string> broken{{"empty", ""},
                                                    {"cut", "{\"id\":"},
                                                    {"list", "[1,2]"},
                                                    {"types", "{\"id\":7,\"init_process_pid\":\"x\",\"config\":[]}"},
                                                    {"deep", std::string(500'000, '[')},
                                                    {"large", std::string(2'000'000, ' ')},
                                                    {"negative", "{\"id\":\"n\",\"init_process_pid\":-1,\"init_process_start\":1}"}};
    for (const auto& [name, text] : broken) {
        fs::create_directories(root / name);
        writeFile(root / name / "state.json", text);
        writeFile(root / name / "status", text);
    }
    fs::create_directories(root / "pipe");
    ASSERT_EQ(::mkfifo((root / "pipe/state.json").c_str(), 0644), 0);
    fs::create_directories(root / "link");
    fs::create_symlink("/etc/shadow", root / "link/state.json");
    ObservedHost host(machine());
    EXPECT_TRUE(host.untilReady()) << host.status().detail;
    for (const auto& [name, text] : broken) EXPECT_EQ(host.named(name), nullptr);
}

TEST_F(ProcessBackend, ACreatedContainerIsATargetOnceItIsStarted) {
    ContainerOptions options;
    options.kind = "busybox";
    options.argv = {"/bin/sleep", "86400"};
    options.runtimeRoot = folder_.path() / "two/state";
    const MicroContainer other(options);  // its bundle serves the second container
    const fs::path bundle = other.rootfs().parent_path();
    const auto runc = [&](std::vector<std::string> verb) {
        auto argv = runtimeCommand("runc", options.runtimeRoot);
        argv.insert(argv.end(), verb.begin(), verb.end());
        mustRun(Command{.argv = argv, .outputFile = bundle / "runc-log"});
    };
    const std::string name = other.name() + "-created";
    std::string config = readFile(bundle / "config.json");  // as the first one, in a cgroup of its own
    const std::string cgroup = "\"" + other.cgroup() + "\"";
    ASSERT_NE(config.find(cgroup), std::string::npos);
    writeFile(bundle / "config.json", config.replace(config.find(cgroup), cgroup.size(), "\"" + other.cgroup() + "-created\""));
    ObservedHost host(machine());
    ASSERT_TRUE(host.untilNamed(other.name()));
    runc({"create", "-b", bundle.string(), name});
    ASSERT_TRUE(host.find(std::to_string(other.pid())));  // a search later than the creation: the host has turned since
    EXPECT_EQ(host.named(name), nullptr);
    runc({"start", name});
    EXPECT_TRUE(host.untilNamed(name));
    runc({"delete", "--force", name});
    EXPECT_TRUE(host.untilGone(name));
}

}  // namespace
}  // namespace recap::test
