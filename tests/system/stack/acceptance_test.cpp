// SPDX-License-Identifier: Apache-2.0
// What people attach to containers for, with the tools that they do it with: strace, gdb, logrotate, a shell's own.
#include <sys/stat.h>

#include <regex>

#include "tests/support/wait.hpp"
#include "tests/system/stack/acceptance_tools.hpp"
#include "tests/system/stack/name_server.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Acceptance : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        const TempDir folder;
        Rootfs tools{folder.path() / "tools"};
        for (const char* program : {"/usr/bin/strace", "/usr/sbin/logrotate", "/usr/bin/busybox"}) tools.program(program);
        tools.link("/usr/bin/busybox", "/bin/sh");
        tools.text("/etc/logrotate.conf", rotationOf("/target/var/log"));
        tools.text("/check.sh", integrityCheckOf("./bin ./etc"));
        tools.folder("/tmp");
        std::filesystem::permissions(tools.path() / "tmp", std::filesystem::perms::all);
        Stack::get().importImage("test/tools:1", filesOf(tools.path()));
        importGdb();
    }
    static void install(const std::string& name, const std::string& command, const std::string& sandbox, const std::string& image = "tools",
                        const std::string& timeout = "30s") {
        Stack::get().install(
            manifestOf(name, "test/" + image + ":1", command,
                       "[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\n" + sandbox + "\n[limits]\ntimeout = \"" + timeout + "\"\n"));
    }
    static std::unique_ptr<MicroContainer> container(ContainerOptions options) {
        auto made = std::make_unique<MicroContainer>(std::move(options));
        Stack::get().run("t-payload", targetOf(*made), {"exit"});  // from now on the daemons know it
        return made;
    }
    static void expectUntouched(const MicroContainer& target, std::uint64_t startTime) {
        const auto process = processOf(target.pid());
        ASSERT_TRUE(process);
        EXPECT_EQ(process->startTime, startTime);
        EXPECT_EQ(statusOf(target.pid()).at("TracerPid"), "0");
        EXPECT_NE(process->state, 't');
        EXPECT_NE(process->state, 'T');
    }
};

TEST_F(Acceptance, A2_StraceOfAScratchImageSeesItsCallsAndItGoesOn) {
    install("a-strace", "[\"strace\", \"-p\", \"1\"]", "processes = \"join\"", "tools", "2s");
    const auto app = container({.kind = "scratch"});
    const Outside outside = Stack::get().outside({app->pid()}, {app->rootfs()});
    const Picture before = outside.look();
    const auto started = processOf(app->pid())->startTime;
    const json report = Stack::get().run("a-strace", targetOf(*app));
    EXPECT_EQ(report.at("outcome"), "timed-out") << report.dump(2);
    EXPECT_THAT(report.at("stderr").get<std::string>(),
                AllOf(HasSubstr("Process 1 attached"), HasSubstr("nanosleep("), HasSubstr("getppid()"), HasSubstr("detached")));
    expectClean(report);
    expectUntouched(*app, started);
    EXPECT_THAT(left(outside, before), IsEmpty());
}

TEST_F(Acceptance, A3_GdbPrintsABacktraceWithSymbolsAndTheServerGoesOn) {
    install("a-gdb", kGdbBacktrace, "processes = \"join\"\nview = \"read-only\"", "gdb");
    const auto started = processOf(nginx_->pid())->startTime;
    const json report = Stack::get().run("a-gdb", target());
    EXPECT_THAT(report.at("stdout").get<std::string>(),
                AllOf(HasSubstr("sigsuspend"), HasSubstr("ngx_master_process_cycle"), HasSubstr("detached")))
        << report.dump(2);
    expectClean(report);
    expectUntouched(*nginx_, started);
    EXPECT_EQ(nginx_->get().status, 200);
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Acceptance, A5_LogrotateTurnsALogOfTheTargetsAndNoLineIsLost) {
    install("a-logrotate", R"(["logrotate", "--force", "--state", "/tmp/state", "/etc/logrotate.conf"])",
            "processes = \"join\"\nview = \"write\"\nwrites = [\"/var/log\"]");
    const TempDir folder{"recap-log"};
    const auto& log = folder.path();
    ASSERT_EQ(::chown(log.c_str(), 101, 101), 0);
    const auto logger =
        container({.kind = "busybox", .argv = {"/bin/sh", "-c", loggerInto("/var/log")}, .volumes = {{log, "/var/log", true}}});
    ASSERT_TRUE(waitUntil([&] { return linesInOrder(readFile(log / "app.log")) > 3; }, Deadline{kPatience}));
    const Outside outside = Stack::get().outside({logger->pid()}, {logger->rootfs()});
    const Picture before = outside.look();
    const json report = Stack::get().run("a-logrotate", targetOf(*logger));
    EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
    expectClean(report);
    ASSERT_TRUE(waitUntil([&] { return lines(readFile(log / "app.log")).size() > 5; }, Deadline{kPatience})) << "it writes to the new file";
    const std::string older = readFile(log / "app.log.1"), newer = readFile(log / "app.log");
    EXPECT_GT(linesInOrder(older + newer.substr(0, newer.rfind('\n') + 1)), 8);
    EXPECT_THAT(leftBesideLogger(outside, before, logger->pid()), IsEmpty()) << "the rest of its files is as before";
}

TEST_F(Acceptance, A10_AChangedProgramAndAnAddedFileAreToldAgainstTheImagesList) {
    install("a-integrity", "[\"busybox\", \"sh\", \"/check.sh\"]", "view = \"read-only\"\ncapabilities = [\"CAP_DAC_READ_SEARCH\"]");
    const auto app = container({.kind = "busybox"});
    writeFile(app->rootfs() / "etc/private", "for root only\n");
    std::filesystem::permissions(app->rootfs() / "etc/private", std::filesystem::perms::owner_read);
    const std::string list = listOf(app->rootfs(), "./bin ./etc");
    const Outside outside = Stack::get().outside({app->pid()}, {app->rootfs()});
    const auto check = [&] {
        const Picture before = outside.look();
        auto checked = run(Command{.argv = {"recapctl", "run", "a-integrity", targetOf(*app)}, .input = list});
        EXPECT_THAT(left(outside, before), IsEmpty());
        return checked;
    };
    const CommandResult clean = check();
    EXPECT_EQ(clean.out, "") << clean.all();
    EXPECT_EQ(clean.err, "");
    writeFile(app->rootfs() / "etc/app.conf", "answer = 43\n");
    writeFile(app->rootfs() / "bin/miner", "added\n");
    writeFile(app->rootfs() / "etc/private", "changed\n");
    EXPECT_EQ(check().out, "./etc/app.conf: FAILED\n./etc/private: FAILED\n./bin/miner: ADDED\n");
}

TEST_F(Acceptance, A15_NamesAreResolvedAsTheTargetResolvesThem) {
    install(
        "a-names",
        "[\"busybox\", \"sh\", \"-c\", \"busybox nslookup db.internal; busybox wget -q -O - http://web.internal:8080/; busybox hostname\"]",
        "namespaces = [\"net\", \"uts\"]\nview = \"merged\"");
    writeFile(nginx_->rootfs() / "etc/resolv.conf", "nameserver 127.0.0.1\n");
    writeFile(nginx_->rootfs() / "etc/hosts", "127.0.0.1 localhost web.internal\n");
    Child server(Command{.argv = {"python3", "-c", kNameServer}, .network = nginx_->pid()});
    ASSERT_TRUE(server.waitForOutput("ready", Deadline{kPatience}));
    const Picture before = outside_->look();
    const json report = Stack::get().run("a-names", target());
    EXPECT_THAT(report.at("stdout").get<std::string>(), AllOf(HasSubstr("10.1.2.3"), HasSubstr("<title>"), HasSubstr("micro")));
    expectClean(report);
    EXPECT_THAT(left(*outside_, before), IsEmpty());
}

// At once, and after one another; what a run makes is in its own layer, also where it seems to be among the target's files.
TEST_F(Acceptance, A19_OneCapsuleOnThreeAppsSharesNothingButItsImage) {
    install("a-share", "[\"/payload\", \"share\"]", "view = \"none\"", "payload");
    install("a-share-merged", "[\"/payload\", \"share\", \"/srv\"]", "view = \"merged\"", "payload");
    std::vector<std::unique_ptr<MicroContainer>> apps;
    std::vector<pid_t> targets;
    std::vector<std::filesystem::path> files;
    for (int i = 0; i < 3; ++i) {
        apps.push_back(container({.kind = "busybox"}));
        std::filesystem::create_directory(apps.back()->rootfs() / "srv");
        std::filesystem::permissions(apps.back()->rootfs() / "srv", std::filesystem::perms::all);
        targets.push_back(apps.back()->pid());
        files.push_back(apps.back()->rootfs());
    }
    const Outside outside = Stack::get().outside(targets, files);
    const Picture before = outside.look();
    for (int round = 0; round < 2; ++round) {
        std::vector<std::pair<std::string, std::string>> runs;  // with the view
        for (const auto& app : apps) {
            runs.emplace_back(Stack::get().startDetached("a-share", targetOf(*app), {}), "none");
            runs.emplace_back(Stack::get().startDetached("a-share-merged", targetOf(*app), {}), "merged");
        }
        for (const auto& [run, view] : runs) ASSERT_TRUE(Stack::get().waitForLog(run, "resting"));
        for (const auto& [run, view] : runs) {
            const auto said = values(Stack::get().ctl({"logs", run}).out);
            for (const char* what : {"file", "memory", "semaphore", "queue"}) EXPECT_EQ(said.at(what), "made") << what << ", " << view;
            if (view == "none") {
                EXPECT_EQ(said.at("shm"), "made");
            }
        }
        for (const auto& [run, view] : runs) {
            EXPECT_TRUE(Stack::get().ctl({"stop", run}).ok());
            expectClean(Stack::get().waitForEnd(run));
        }
    }
    std::size_t layers = 0;
    for ([[maybe_unused]] const auto& layer : std::filesystem::directory_iterator(Stack::get().folder("RECAP_STORE_DIR") / "layers"))
        ++layers;
    EXPECT_EQ(layers, 3u) << "payload, tools and gdb: each once";
    EXPECT_THAT(left(outside, before), IsEmpty());
}

TEST_F(Acceptance, A21_ATargetThatIsKilledTakesItsCapsulesAndIsNotHeldByThem) {
    install("a-all", "[\"busybox\", \"sleep\", \"1000\"]",
            "namespaces = [\"net\", \"ipc\", \"uts\", \"cgroup\"]\nprocesses = \"join\"\nview = \"read-only\"");
    auto app = container({.kind = "busybox", .cgroupNamespace = true});
    const auto rootfs = app->rootfs();
    const std::string run = Stack::get().startDetached("a-all", targetOf(*app), {});
    ASSERT_TRUE(waitUntil(
        [&] {
            return Stack::get().ctlJson({"show", run}).value("state", "") == "running";
        },
        Deadline{kPatience}))
        << Stack::get().ctl({"show", run}).out;
    app->kill();
    const json details = Stack::get().waitForEnd(run);
    EXPECT_EQ(details.at("outcome"), "target-gone") << details.dump(2);
    expectClean(details);
    app.reset();
    EXPECT_FALSE(std::filesystem::exists(rootfs));
    EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace recap::test
