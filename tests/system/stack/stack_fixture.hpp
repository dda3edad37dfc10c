// SPDX-License-Identifier: Apache-2.0
// One nginx microcontainer for all tests of a suite, the test payload as capsules of several kinds, and after each test a look
// from outside.
#pragma once

#include <signal.h>

#include "tests/support/environment.hpp"
#include "tests/system/stack/stack.hpp"

namespace recap::test {

class StackTest : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        Stack& stack = Stack::get();
        stack.importImage("test/payload:1", payloadFiles());
        stack.install(manifestOf("t-payload", "test/payload:1", "[\"/payload\"]", kJoined));
        stack.install(
            manifestOf("t-view", "test/payload:1", "[\"/payload\"]", "[sandbox]\nview = \"read-only\"\n[limits]\ntimeout = \"20s\"\n"));
        stack.install(manifestOf("t-short", "test/payload:1", "[\"/payload\"]",
                                 "[sandbox]\nprocesses = \"observe\"\n[limits]\ntimeout = \"500ms\"\n"));
        stack.install(
            manifestOf("t-out", "test/payload:1", "[\"/payload\"]", "[limits]\ntimeout = \"20s\"\n[output]\nartifacts = \"/out\"\n"));
        nginx_ = std::make_unique<MicroContainer>(ContainerOptions{.labels = {{"app", "nginx"}}, .runtimeRoot = kRuncRoot});
        stack.run("t-payload", targetOf(*nginx_), {"exit"});  // from now on the daemons know it
    }
    static void TearDownTestSuite() { nginx_.reset(); }

    void SetUp() override {
        outside_ = std::make_unique<Outside>(Stack::get().outside({nginx_->pid()}, {nginx_->rootfs()}));
        before_ = outside_->look();
    }

    // A run's log and artifacts are its estate and stay in state/; nothing else may.
    std::vector<std::string> left() const { return left(*outside_, before_); }
    static std::vector<std::string> left(const Outside& outside, const Picture& before, const std::string& mayChange = {}) {
        const std::string estate = "appeared: file " + Stack::get().folder("RECAP_STATE_DIR").string();
        return leftAfter(outside, before, [&](const std::string& difference) {
            return difference.rfind(estate, 0) == 0 || (!mayChange.empty() && difference.find(mayChange) != std::string::npos);
        });
    }
    // The capsule that is shipped, with tools of this machine.
    static void installShell() {
        const TempDir folder;
        Rootfs tools{folder.path() / "tools"};
        for (const char* name : {"bash", "cat", "env", "id", "ls", "ps", "rm", "sleep", "stty", "tty"})
            tools.program(std::string("/usr/bin/") + name);
        tools.copy("/lib/terminfo/x/xterm", "/lib/terminfo/x/xterm");
        tools.folder("/tmp");
        std::filesystem::permissions(tools.path() / "tmp", std::filesystem::perms::all);
        Stack::get().importImage("recap/shell:1.0.0", filesOf(tools.path()));
        Stack::get().install(readFile(sourceDir() / "sdk/capsules/shell/capsule.toml"));
    }
    // Ends a daemon hard, and waits until another process is in its place and answers.
    static void killHard(const std::string& unit) {
        const pid_t old = Stack::get().pid(unit);
        const UniqueFd pidfd = openPidfd(old);
        ::kill(old, SIGKILL);
        ASSERT_TRUE(waitForExit(pidfd.get(), Deadline{kPatience}));
        const auto replaced = [&] {
            const pid_t now = Stack::get().pid(unit);
            return now != 0 && now != old;
        };
        ASSERT_TRUE(waitUntil(replaced, Deadline{kPatience})) << unit << " is not started again";
        ASSERT_TRUE(waitUntil([&] { return Stack::get().ctl({"backends"}).ok(); }, Deadline{kPatience})) << Stack::get().logs();
    }
    std::string target() const { return targetOf(*nginx_); }
    static void expectClean(const nlohmann::json& report) { EXPECT_EQ(report.value("escape", "?"), "clean") << report.dump(2); }

    static constexpr const char* kJoined =
        "[sandbox]\nnamespaces = [\"net\", \"ipc\", \"uts\"]\nprocesses = \"observe\"\n[limits]\ntimeout = \"20s\"\n";
    static std::unique_ptr<MicroContainer> nginx_;
    std::unique_ptr<Outside> outside_;
    Picture before_;
};

inline std::unique_ptr<MicroContainer> StackTest::nginx_;

}  // namespace recap::test
