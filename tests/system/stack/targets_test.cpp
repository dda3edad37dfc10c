// SPDX-License-Identifier: Apache-2.0
// A24: capsules of every kind on containers of every kind, none of them privileged.
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Kind {
    const char* name;
    ContainerOptions options;
    const char* user;  // as the capsule sees itself
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

class Targets : public StackTest, public ::testing::WithParamInterface<Kind> {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        const TempDir folder;
        Rootfs tools{folder.path() / "tools"};
        for (const char* program : {"/usr/bin/strace", "/usr/bin/busybox"}) tools.program(program);
        Stack::get().importImage("test/looks:1", filesOf(tools.path()));
        install("m-strace", "[\"strace\", \"-p\", \"1\"]", "processes = \"join\"", "1s");
        install("m-strace-user", "[\"strace\", \"-p\", \"1\"]", "namespaces = [\"user\"]\nprocesses = \"join\"", "1s");
        install("m-kill", "[\"busybox\", \"kill\", \"-0\", \"1\"]", "processes = \"join\"");
        install("m-ps", "[\"busybox\", \"ps\", \"-o\", \"pid,comm\"]", "processes = \"observe\"");
        install("m-view", "[\"busybox\", \"ls\", \"/target\"]", "view = \"read-only\"");
        install("m-merged", "[\"busybox\", \"sh\", \"-c\", \"busybox ls -d /mine /usr/bin/strace && busybox id -u\"]", "view = \"merged\"");
        install("m-joined", "[\"busybox\", \"hostname\"]", "namespaces = [\"net\", \"ipc\", \"uts\"]");
    }
    static void install(const std::string& name, const std::string& command, const std::string& sandbox, const char* timeout = "20s") {
        Stack::get().install(
            manifestOf(name, "test/looks:1", command,
                       "[sandbox]\npolicy = \"trusted\"\nreason = \"a test\"\n" + sandbox + "\n[limits]\ntimeout = \"" + timeout + "\"\n"));
    }
    void SetUp() override {
        StackTest::SetUp();
        ContainerOptions options = GetParam().options;
        if (std::string(GetParam().name) == "pod") options.podOf = nginx_->pid();
        made_ = std::make_unique<MicroContainer>(options);
        writeFile(made_->rootfs() / "mine", "x\n");
        Stack::get().run("t-payload", targetOf(*made_), {"exit"});
        around_ = std::make_unique<Outside>(Stack::get().outside({made_->pid()}, {made_->rootfs()}));
        quiet_ = around_->look();
    }
    void TearDown() override {
        EXPECT_THAT(StackTest::left(*around_, quiet_), IsEmpty());
        made_.reset();
    }
    json look(const std::string& capsule, const char* outcome = "succeeded") {
        json report = Stack::get().run(capsule, targetOf(*made_));
        EXPECT_EQ(report.at("outcome"), outcome) << capsule << report.dump(2);
        expectClean(report);
        return report;
    }

    std::unique_ptr<MicroContainer> made_;
    std::unique_ptr<Outside> around_;
    Picture quiet_;
};

TEST_P(Targets, A24_EveryCapsuleGoesOnIt) {
    const auto started = processOf(made_->pid())->startTime;
    // Who is not in a user namespace may trace nobody there without a capability.
    const bool apart = GetParam().options.userNamespace != 0;
    EXPECT_THAT(look(apart ? "m-strace-user" : "m-strace", "timed-out").at("stderr").get<std::string>(), HasSubstr("Process 1 attached"));
    EXPECT_TRUE(look("m-kill").at("untrusted").get<bool>()) << "it has the target's uid and is among its processes";
    const json observer = look("m-ps");
    EXPECT_THAT(observer.at("stdout").get<std::string>(), HasSubstr("    1 "));
    EXPECT_FALSE(observer.at("untrusted").get<bool>());
    EXPECT_THAT(look("m-view").at("stdout").get<std::string>(), HasSubstr("mine\n"));
    EXPECT_EQ(look("m-merged").at("stdout"), std::string("/mine\n/usr/bin/strace\n") + GetParam().user + "\n");
    EXPECT_EQ(look("m-joined").at("stdout"), "micro\n");
    const auto process = processOf(made_->pid());
    ASSERT_TRUE(process);
    EXPECT_EQ(process->startTime, started);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Targets,
    ::testing::Values(Kind{"uid101", {.kind = "busybox", .readOnlyRoot = false}, "101"},
                      Kind{"readOnlyRoot", {.kind = "busybox"}, "101"},  // with no capabilities and no-new-privs, as all here
                      Kind{"root", {.kind = "busybox", .uid = 0, .gid = 0}, "0"},
                      Kind{"crun", {.kind = "busybox", .runtime = "crun"}, "101"},
                      Kind{"userNamespace", {.kind = "busybox", .uid = 0, .gid = 0, .userNamespace = 3'000'000}, "3000000"},
                      Kind{"scratch", {.kind = "scratch"}, "101"}, Kind{"pod", {.kind = "busybox"}, "101"}),
    [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace recap::test
