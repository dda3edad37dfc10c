// SPDX-License-Identifier: Apache-2.0
// Containers of a containerd that nobody else uses, so that it can die, and podman's, in one stack.
#include <sstream>

#include "tests/support/engines/containerd.hpp"
#include "tests/support/engines/podman.hpp"
#include "tests/system/stack/engines_fixture.hpp"
#include "tests/system/stack/sitting.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class OtherEngines : public EnginesTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        containerd_ = std::make_unique<Containerd>("/var/lib");  // a host of plugins has a /tmp of its own
        podman_ = std::make_unique<Podman>("/var/lib");
        DropIn::set("[plugins.containerd]\nendpoint = \"" + containerd_->endpoint() + "\"\n[plugins.podman]\nplugin = \"docker\"\n" +
                    "endpoint = \"" + podman_->endpoint() + "\"\n");
        const TempDir folder;
        Rootfs tools{folder.path() / "tools"};
        tools.program("/usr/bin/busybox");
        tools.folder("/tmp");
        Stack::get().importImage("test/engine-tools:1", filesOf(tools.path()));
        podman_->run("o-podman", {{"app", "pod"}}, {"--user=101"});
        startInContainerd("o-ctr");
    }
    static void TearDownTestSuite() {
        EXPECT_THAT(podman_->stop(), ::testing::IsEmpty());
        EXPECT_THAT(containerd_->stop(), ::testing::IsEmpty());
        podman_.reset();
        containerd_.reset();
        DropIn::remove();
        StackTest::TearDownTestSuite();
    }
    void SetUp() override {
        for (const char* name : {"o-podman", "o-ctr"}) ASSERT_TRUE(appears(name)) << Stack::get().ctl({"backends"}).out;
        StackTest::SetUp();
    }

    // Root without a capability: who has one is not traced by who has none.
    static pid_t startInContainerd(const std::string& id, const std::vector<std::string>& command = {}) {
        return containerd_->run(containerd_->nameSpace(), id, {}, withoutCapabilities(), command);
    }
    static std::string inContainerd(const std::string& id) { return "containerd:" + containerd_->nameSpace() + "/" + id; }
    static bool appears(const std::string& name) {
        return waitUntil([&] { return !row(name).is_null(); }, Deadline{kPatience});
    }
    static bool becomesStale(const std::string& name, bool stale) {
        return waitUntil([&] { return row(name).at("stale") == stale; }, Deadline{kPatience});
    }
    static std::string stateOf(const std::string& backend) {
        const json listed = Stack::get().ctlJson({"backends"});
        for (const auto& one : listed.at("backends"))
            if (one.at("name") == backend) return one.at("state");
        return {};
    }
    static void expectRun(const std::string& target) {
        const json report = Stack::get().run("t-payload", target, {"exit"});
        EXPECT_EQ(report.at("outcome"), "succeeded") << target << report.dump(2);
        expectClean(report);
    }

    // Of what o-who says: when its target was started. Processes and network are one container's, and it is o-again.
    static std::string lifeSeen(const std::string& text) {
        std::istringstream words(text);
        std::string network, own, command, word;
        words >> network >> own;
        words.get();
        std::getline(words, command, '(');  // "/bin/sleep 86407 1 (sleep) S …"
        EXPECT_EQ(network, own) << text;
        EXPECT_EQ(command, "/bin/sleep 86407 1 ") << text;
        for (int field = 2; field <= 22 && words >> word; ++field) continue;
        return word;
    }

    static std::unique_ptr<Containerd> containerd_;
    static std::unique_ptr<Podman> podman_;
};
std::unique_ptr<Containerd> OtherEngines::containerd_;
std::unique_ptr<Podman> OtherEngines::podman_;

// Its targets stay and are marked; a running capsule goes on to its own end; what happened meanwhile is seen afterwards.
TEST_F(OtherEngines, AContainerdThatDiesDisturbsNoRun) {
    installTool("o-waits",
                R"(["busybox", "sh", "-c", "echo waiting; until [ -e /target/tmp/end ]; do busybox usleep 20000; done; echo seen"])",
                "view = \"read-only\"\nprocesses = \"observe\"", "120s");
    const pid_t app = startInContainerd("o-app"), goes = startInContainerd("o-goes");
    for (const char* name : {"o-app", "o-goes"}) ASSERT_TRUE(appears(name));
    const std::string run = Stack::get().startDetached("o-waits", inContainerd("o-app"), {});
    ASSERT_TRUE(Stack::get().waitForLog(run, "waiting")) << Stack::get().ctl({"show", run}).out;
    containerd_->killDaemon();
    ASSERT_TRUE(becomesStale("o-app", true));
    EXPECT_NE(stateOf("containerd"), "ready");
    EXPECT_EQ(row("o-podman").at("stale"), false) << "other backends are untouched";
    EXPECT_EQ(stateOf("podman"), "ready");
    EXPECT_EQ(stateOf("process"), "ready");
    for (const auto& known : {inContainerd("o-app"), std::string("o-ctr"), std::string("podman:o-podman"), target()}) expectRun(known);
    EXPECT_EQ(row("o-app").at("stale"), true) << "and asked for a run it was not";
    ASSERT_EQ(::kill(goes, SIGKILL), 0);  // an end that no event tells
    containerd_->startDaemon();
    ASSERT_TRUE(becomesStale("o-app", false)) << Stack::get().ctl({"backends"}).out;
    EXPECT_EQ(stateOf("containerd"), "ready");
    EXPECT_TRUE(waitUntil([] { return row("o-goes").is_null(); }, Deadline{kPatience}));
    EXPECT_EQ(row("o-app").at("pid"), app);
    startInContainerd("o-new");
    EXPECT_TRUE(appears("o-new"));
    expectRun(inContainerd("o-new"));
    EXPECT_EQ(Stack::get().ctlJson({"show", run}).at("state"), "running");
    writeFile("/proc/" + std::to_string(app) + "/root/tmp/end", "");
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "succeeded") << ended.dump(2);
    expectClean(ended);
    EXPECT_THAT(Stack::get().ctl({"logs", run}).out, HasSubstr("seen"));
    for (const char* name : {"o-app", "o-goes", "o-new"}) containerd_->end(containerd_->nameSpace(), name);
}

// Each attach is in one of the container's lives, or says that it is gone: never anywhere else.
TEST_F(OtherEngines, ATaskThatRestartsMeanwhileIsNeverTheWrongProcess) {
    const TempDir folder;
    const std::string lives = (folder.path() / "lives").string(), pidFile = (folder.path() / "pid").string();
    const pid_t first = startInContainerd("o-again", {"/bin/sleep", "86407"});
    writeFile(lives, std::to_string(processOf(first)->startTime) + "\n");
    ASSERT_TRUE(appears("o-again"));
    const char* who =
        R"(["busybox", "sh", "-ec", "cd /proc; for it in 1 self; do busybox readlink $it/ns/net; done; busybox tr '\\0' ' ' <1/cmdline; busybox cat 1/stat"])";
    installTool("o-who", who, "namespaces = [\"net\"]\nprocesses = \"join\"");
    const std::string ctr = "ctr -a " + containerd_->socket().string() + " -n " + containerd_->nameSpace() + " tasks ";
    const std::string again = ctr + "rm -f o-again && " + ctr + "start -d --null-io --pid-file " + pidFile +
                              " o-again && cut -d' ' -f22 /proc/$(cat " + pidFile + ")/stat >> " + lives;
    Child restarting(Command{.argv = {"sh", "-ec", "for i in 1 2 3 4 5 6 7 8; do " + again + "; done"}});
    std::vector<std::string> attached;  // when the first process that each saw was started
    do {
        const json report = Stack::get().run("o-who", inContainerd("o-again"));
        const std::string outcome = report.at("outcome");
        EXPECT_THAT(outcome, AnyOf("succeeded", "target-gone", "not-started")) << report.dump(2);
        if (outcome == "not-started") {
            EXPECT_THAT(report.at("error").at("message").get<std::string>(), AnyOf(HasSubstr("is not running"), HasSubstr("ended")));
        }
        if (outcome != "succeeded") continue;
        attached.push_back(lifeSeen(report.at("stdout")));
    } while (!waitForExit(restarting.pidfd(), Deadline(std::chrono::milliseconds(0))));
    const CommandResult restarted = restarting.wait(Deadline{kPatience});
    EXPECT_EQ(restarted.status, 0) << restarted.all();
    json last;
    const auto succeeds = [&] {
        last = Stack::get().run("o-who", inContainerd("o-again"));
        return last.at("outcome") == "succeeded";
    };
    ASSERT_TRUE(waitUntil(succeeds, Deadline{kPatience})) << last.dump(2);
    const auto all = lines(readFile(lives));
    EXPECT_THAT(all, SizeIs(9));
    for (const auto& life : attached) EXPECT_THAT(all, Contains(life));
    EXPECT_EQ(lifeSeen(last.at("stdout")), all.back());
    EXPECT_FALSE(attached.empty());
    containerd_->end(containerd_->nameSpace(), "o-again");
}

TEST_F(OtherEngines, PodmansContainersAreTargetsByEveryName) {
    const json pod = row("o-podman");
    const std::string id = pod.at("id");
    EXPECT_EQ(pod.at("backend"), "podman");
    EXPECT_EQ(pod.at("target"), "podman:" + id);
    EXPECT_EQ(pod.at("labels").at("app"), "pod");
    EXPECT_EQ(pod.at("pid"), podman_->pidOf("o-podman"));
    EXPECT_EQ(pod.at("stale"), false);
    const std::string process = "process:" + std::to_string(pod.at("pid").get<int>());
    EXPECT_TRUE(waitUntil([] { return !row("o-podman").at("also").empty(); }, Deadline{kPatience}));
    EXPECT_THAT(row("o-podman").at("also"), Contains(process)) << "one target, whoever tells of it";
    installTool("o-says", R"(["busybox", "sh", "-c", "echo a line; busybox tr '\\0' ' ' </proc/1/cmdline"])", "processes = \"observe\"");
    for (const auto& word : {std::string("podman:o-podman"), std::string("o-podman"), "podman:" + id, id.substr(0, 12), process}) {
        const json report = Stack::get().run("o-says", word);
        EXPECT_EQ(report.at("stdout"), "a line\n/bin/sleep 86400 ") << word << report.dump(2);
        expectClean(report);
    }
    EXPECT_EQ(Stack::get().ctlJson({"runs", "--limit", "1"}).at("runs").at(0).at("target"), "podman:" + id) << "whatever it was called by";
    const json never = Stack::get().run("o-says", "podman:o-never");
    EXPECT_THAT(never.at("error").at("message").get<std::string>(), HasSubstr("no container 'o-never'"));
}

TEST_F(OtherEngines, A32_AShellIsOpenedInPodmansContainer) {
    installShell();
    Sitting shell({"shell", "podman:o-podman"});
    ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
    ASSERT_TRUE(shell.becomesRaw());
    shell.type("echo secret-$((6 * 7)); tty; ps -e -o args; ls -d /bin/busybox\r");
    for (const char* text : {"secret-42", "/dev/pts/0", "/bin/sleep 86400", "/bin/busybox"})
        EXPECT_TRUE(shell.sees(text)) << text << "\n" << shell.seen();
    shell.type("exit 3\r");
    EXPECT_EQ(shell.ends(), 3) << shell.seen();
    EXPECT_TRUE(shell.isAsBefore());
    EXPECT_EQ(podman_->podman({"logs", "o-podman"}).out, "") << "nothing typed or said is in the container's log";
}

TEST_F(OtherEngines, APodmanContainerThatEndsTakesItsCapsule) {
    podman_->run("o-ends", {}, {"--user=101"});
    ASSERT_TRUE(appears("o-ends"));
    Stack::get().install(manifestOf("o-rest", "test/payload:1", "[\"/payload\", \"rest\"]",
                                    "[sandbox]\nnamespaces = [\"net\"]\nprocesses = \"observe\"\n[limits]\ntimeout = \"120s\"\n"));
    const std::string run = Stack::get().startDetached("o-rest", "o-ends", {});
    ASSERT_TRUE(Stack::get().waitForLog(run, "resting")) << Stack::get().ctl({"show", run}).out;
    podman_->remove("o-ends");
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "target-gone") << ended.dump(2);
    expectClean(ended);
    EXPECT_TRUE(waitUntil([] { return row("o-ends").is_null(); }, Deadline{kPatience}));
}

}  // namespace
}  // namespace recap::test
