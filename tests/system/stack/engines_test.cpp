// SPDX-License-Identifier: Apache-2.0
// Containers of real engines as targets: Docker's, and containerd's of the same containerd, all in one stack.
#include "tests/system/stack/engines_fixture.hpp"
#include "tests/system/stack/sitting.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class Engines : public EnginesTest {
protected:
    static void SetUpTestSuite() {
        startEngines();
        const TempDir folder;
        Rootfs tools{folder.path() / "tools"};
        tools.program("/usr/bin/busybox");
        tools.folder("/tmp");
        Stack::get().importImage("test/engine-tools:1", filesOf(tools.path()));
        docker_->run("e-plain", {}, {"--user=101"});
        importToContainerd(Dockerd::kImage);
        startInContainerd("e-ctr", {"--label", "app=ctr"});
        ASSERT_TRUE(waitUntil([] { return !row("e-plain").is_null() && !row("e-ctr").is_null(); }, Deadline{kPatience}))
            << Stack::get().ctl({"targets"}).out << Stack::get().ctl({"backends"}).out;
    }
    static void TearDownTestSuite() { endEngines(); }

    // Root without a capability: who has one is not traced by who has none.
    static void startInContainerd(const std::string& id, std::vector<std::string> options = {}) {
        for (const auto& word : withoutCapabilities()) options.push_back(word);
        runInContainerd(id, Dockerd::kImage, options);
    }
    static json refused(const std::string& target, const std::string& capsule = "t-payload") {
        return Stack::get().run(capsule, target, {"exit"});
    }
};

TEST_F(Engines, AContainerIsOneTargetWhoeverTellsOfIt) {
    const json web = row("e-plain");
    EXPECT_EQ(web.at("backend"), "docker");
    EXPECT_EQ(web.at("stale"), false);
    const std::string id = web.at("id"), moby = "containerd:moby/" + id;
    const auto bothTold = [&] { return row("e-plain").at("also").size() == 2; };
    EXPECT_TRUE(waitUntil(bothTold, Deadline{kPatience})) << "containerd and process tell of it, too: " << row("e-plain").dump(2);
    EXPECT_THAT(row("e-plain").at("also"), AllOf(Contains(moby), Contains("process:" + std::to_string(web.at("pid").get<int>()))));
    for (const auto& word : std::vector<std::string>{"e-plain", "docker:e-plain", "docker:" + id, id.substr(0, 12), moby,
                                                     "process:" + std::to_string(web.at("pid").get<int>())}) {
        const json report = Stack::get().run("t-payload", word, {"exit"});
        EXPECT_EQ(report.at("outcome"), "succeeded") << word << report.dump(2);
        expectClean(report);
    }
    const json runs = Stack::get().ctlJson({"runs", "--limit", "1"});
    EXPECT_EQ(runs.at("runs").at(0).at("target"), "docker:" + id) << "whatever it was called by";
    EXPECT_EQ(row("e-ctr").at("target"), std::string("containerd:") + kNamespace + "/e-ctr");
    EXPECT_EQ(row("e-ctr").at("labels").at("app"), "ctr");
}

TEST_F(Engines, ANameThatTwoEnginesHaveIsAmbiguousAndTheCandidatesAreNamed) {
    docker_->run("e-ctr");
    ASSERT_TRUE(waitUntil([] { return row("e-ctr").is_null(); }, Deadline{kPatience}));
    const json report = refused("e-ctr");
    docker_->remove("e-ctr");
    EXPECT_EQ(report.at("outcome"), "not-started") << report.dump(2);
    EXPECT_THAT(report.dump(),
                AllOf(HasSubstr("is ambiguous"), HasSubstr("docker:"), HasSubstr(std::string("containerd:") + kNamespace + "/e-ctr")));
    EXPECT_TRUE(waitUntil([] { return !row("e-ctr").is_null(); }, Deadline{kPatience}));
}

TEST_F(Engines, A15_TheTargetsOwnResolvConfIsSeen) {
    installTool("e-names", R"(["busybox", "cat", "/target/etc/resolv.conf", "/target/etc/hosts"])",
                "namespaces = [\"net\", \"uts\"]\nview = \"read-only\"");
    docker_->run("e-names", {}, {"--dns=192.0.2.53", "--add-host=db.test:192.0.2.7"});
    ASSERT_TRUE(waitUntil([] { return !row("e-names").is_null(); }, Deadline{kPatience}));
    const json report = Stack::get().run("e-names", "docker:e-names");
    EXPECT_THAT(report.at("stdout").get<std::string>(), AllOf(HasSubstr("db.test"))) << report.dump(2);
    EXPECT_EQ(report.at("stdout").get<std::string>(),
              docker_->docker({"exec", "e-names", "/bin/busybox", "cat", "/etc/resolv.conf", "/etc/hosts"}).out);
    expectClean(report);
    docker_->remove("e-names");
}

TEST_F(Engines, A33_WhatCannotBeATargetIsRefusedByName) {
    docker_->docker({"run", "--detach", "--network=host", "--pid=host", "--name=e-host", Dockerd::kImage});
    docker_->run("e-kata", {}, {std::string("--runtime=") + Dockerd::kIsolated});
    docker_->run("e-new", {}, {std::string("--runtime=") + Dockerd::kUnknown});
    docker_->run("e-paused");
    docker_->docker({"pause", "e-paused"});
    docker_->run("e-ended");
    docker_->docker({"kill", "e-ended"});
    startInContainerd("c-host", {"--net-host"});
    startInContainerd("c-kata", {"--runtime", std::string("io.containerd.") + Dockerd::kIsolated + ".v2"});
    startInContainerd("c-new", {"--runtime", std::string("io.containerd.") + Dockerd::kUnknown + ".v2"});
    startInContainerd("c-paused");
    EXPECT_TRUE(ctr({"tasks", "pause", "c-paused"}).ok());
    startInContainerd("c-ended");
    EXPECT_TRUE(ctr({"tasks", "kill", "--signal", "SIGKILL", "c-ended"}).ok());
    const auto isThere = [](const char* name) {
        const json it = row(name);
        return !it.is_null() && (std::string(name).ends_with("-paused") ? it.at("state") == "paused" : true);
    };
    for (const char* name : {"e-host", "e-kata", "e-new", "e-paused", "c-host", "c-kata", "c-new", "c-paused"})
        ASSERT_TRUE(waitUntil([&] { return isThere(name); }, Deadline{kPatience})) << name << Stack::get().ctl({"targets"}).out;
    const std::map<std::string, std::string> cases{
        {"docker:e-host", "would join the host's"},
        {"docker:e-kata", "is kept by the runtime 'kata-test' behind a kernel of its own"},
        {"docker:e-new", "is kept by the runtime 'house-test', of which it is not known"},
        {"docker:e-paused", "is paused"},
        {"docker:e-ended", "is not running"},
        {"docker:e-never", "no container 'e-never'"},
        {"containerd:c-host", "would join the host's"},
        {"containerd:c-kata", "is kept by the runtime 'io.containerd.kata-test.v2' behind a kernel of its own"},
        {"containerd:c-new", "is kept by the runtime 'io.containerd.house-test.v2', of which it is not known"},
        {"containerd:c-paused", "is paused"},
        {"containerd:c-ended", "is not running"},
        {"containerd:e-never", "no container 'e-never'"},
    };
    for (const auto& [target, why] : cases) {
        const json report = refused(target);
        EXPECT_THAT(report.at("outcome"), ::testing::AnyOf("not-started", "denied", "target-gone")) << target << report.dump(2);
        EXPECT_THAT(report.at("error").at("message").get<std::string>(), HasSubstr(why)) << target;
    }
    for (const char* name : {"e-host", "e-kata", "e-new", "e-paused", "e-ended"}) docker_->remove(name);
    EXPECT_TRUE(ctr({"tasks", "resume", "c-paused"}).ok());
    for (const char* name : {"c-host", "c-kata", "c-new", "c-paused", "c-ended"}) endInContainerd(name);
}

// Its targets stay and are marked; a running capsule goes on; afterwards all is as before.
TEST_F(Engines, AnEngineThatDiesDisturbsNoRun) {
    Stack::get().install(manifestOf("e-rest", "test/payload:1", "[\"/payload\", \"rest\"]",
                                    "[sandbox]\nnamespaces = [\"net\"]\nprocesses = \"observe\"\n[limits]\ntimeout = \"120s\"\n"));
    const std::string run = Stack::get().startDetached("e-rest", "docker:e-plain", {});
    docker_->killDaemon();
    ASSERT_TRUE(waitUntil([] { return row("e-plain").at("stale") == true; }, Deadline{kPatience}));
    EXPECT_EQ(row("e-ctr").at("stale"), false) << "other backends are untouched";
    const json meanwhile = Stack::get().run("t-payload", "docker:e-plain", {"exit"});
    EXPECT_EQ(meanwhile.at("outcome"), "succeeded") << "no engine is asked for a run: " << meanwhile.dump(2);
    docker_->startDaemon();
    ASSERT_TRUE(waitUntil([] { return row("e-plain").at("stale") == false; }, Deadline{kPatience}));
    EXPECT_EQ(Stack::get().ctlJson({"show", run}).at("state"), "running");
    EXPECT_TRUE(Stack::get().ctl({"stop", "--now", run}).ok());
    expectClean(Stack::get().waitForEnd(run));
}

// Each attach is in the old life, in the new one, or target-gone: never anywhere else.
TEST_F(Engines, AContainerThatRestartsMeanwhileIsNeverTheWrongProcess) {
    docker_->run("e-again", {}, {"--hostname=e-again"});
    ASSERT_TRUE(waitUntil([] { return !row("e-again").is_null(); }, Deadline{kPatience}));
    installTool("e-who", R"(["busybox", "hostname"])", "namespaces = [\"uts\"]\nprocesses = \"observe\"");
    Child restarting(
        Command{.argv = {"sh", "-c", "for i in 1 2 3 4 5; do docker --host " + docker_->endpoint() + " restart -t 0 e-again; done"}});
    int attached = 0;
    while (!waitForExit(restarting.pidfd(), Deadline(std::chrono::milliseconds(0)))) {
        const json report = Stack::get().run("e-who", "docker:e-again");
        const std::string outcome = report.at("outcome");
        EXPECT_THAT(outcome, ::testing::AnyOf("succeeded", "target-gone", "not-started")) << report.dump(2);
        if (outcome == "not-started") {
            EXPECT_THAT(report.at("error").at("message").get<std::string>(),
                        ::testing::AnyOf(HasSubstr("is not running"), HasSubstr("ended")));
        }
        if (outcome == "succeeded") {
            ++attached;
            EXPECT_EQ(report.at("stdout").get<std::string>(), "e-again\n");
        }
    }
    EXPECT_TRUE(waitUntil([] { return Stack::get().run("e-who", "docker:e-again").at("outcome") == "succeeded"; }, Deadline{kPatience}));
    EXPECT_GT(attached, 0);
    docker_->remove("e-again");
}

// The hosts hold root-equivalent sockets and nothing else.
TEST_F(Engines, TheirHostsHaveNoCapability) {
    for (const char* name : {"docker", "containerd"}) {
        const pid_t pid = Stack::get().pid(std::string("recap-plugin-host@") + name + ".service");
        ASSERT_GT(pid, 0) << name;
        const auto status = statusOf(pid);
        for (const char* key : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
            EXPECT_EQ(status.at(key), "0000000000000000") << name << key;
        EXPECT_EQ(status.at("NoNewPrivs"), "1") << name;
        EXPECT_EQ(status.at("Seccomp"), "2") << name;
        EXPECT_EQ(status.at("Uid").starts_with("0\t"), std::string_view(name) == "containerd") << status.at("Uid");
    }
}

TEST_F(Engines, A32_AShellIsOpenedInContainersOfBoth) {
    installShell();
    for (const char* target : {"docker:e-plain", "containerd:e-ctr"}) {
        Sitting shell({"shell", target});
        ASSERT_TRUE(shell.sees(std::string_view(target) == "docker:e-plain" ? "$ " : "# ")) << shell.seen();  // the other is root
        ASSERT_TRUE(shell.becomesRaw());
        shell.type("echo secret-$((6 * 7)); tty; ps -e -o args; ls -d /bin/busybox\r");
        for (const char* text : {"secret-42", "/dev/pts/0", "/bin/sleep 86400", "/bin/busybox"})
            EXPECT_TRUE(shell.sees(text)) << target << text << "\n" << shell.seen();
        shell.type("exit 3\r");
        EXPECT_EQ(shell.ends(), 3) << shell.seen();
        EXPECT_TRUE(shell.isAsBefore());
    }
    EXPECT_EQ(docker_->docker({"logs", "e-plain"}).out, "") << "nothing typed or said is in the container's log";
    EXPECT_EQ(docker_->docker({"diff", "e-plain"}).out, "");
}

// What an engine has built is a capsule's image, after the checks of any other.
TEST_F(Engines, AnImageThatWasBuiltThereIsImportedAndRun) {
    const TempDir folder;
    writeFile(folder.path() / "Dockerfile", std::string("FROM ") + Dockerd::kImage + "\nCOPY greeting /greeting\n");
    writeFile(folder.path() / "greeting", "built by docker\n");
    const auto built = test::run(
        Command{.argv = {"docker", "--host", docker_->endpoint(), "build", "--quiet", "--tag", "recap/built:1", folder.path().string()},
                .env = {{"DOCKER_BUILDKIT", "0"}}});
    ASSERT_TRUE(built.ok()) << built.all();
    const std::string sandbox = "[limits]\ntimeout = \"20s\"\n";
    const std::map<std::string, std::string> references{
        {"docker-daemon:recap/built:1", "recap/built:1"},
        {std::string("containerd:") + kNamespace + "/docker.io/library/" + Dockerd::kImage, Dockerd::kImage}};
    for (const auto& [reference, name] : references) {
        const json imported = Stack::get().ctlJson({"image", "import", reference});
        ASSERT_EQ(imported.value("state", "?"), "admitted") << reference << imported.dump();
        const bool greets = name == "recap/built:1";
        Stack::get().install(
            manifestOf("e-built", name,
                       greets ? R"(["/bin/busybox", "cat", "/greeting"])" : R"(["/bin/busybox", "echo", "from containerd"])", sandbox));
        const json report = Stack::get().run("e-built", "docker:e-plain");
        EXPECT_EQ(report.at("stdout"), greets ? "built by docker\n" : "from containerd\n") << report.dump(2);
        expectClean(report);
    }
}

}  // namespace
}  // namespace recap::test
