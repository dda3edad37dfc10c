// SPDX-License-Identifier: Apache-2.0
// recapd may die at any time and its runs go on; with the launcher, they end. Daemons come back by the stack's restarts.
#include <signal.h>

#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::IsEmpty;

class Recovery : public StackTest {
protected:
    // A run that is up to something, and a pidfd of its payload.
    std::pair<std::string, UniqueFd> startResting() {
        const std::string run = Stack::get().startDetached("t-payload", target(), {"rest"});
        EXPECT_TRUE(Stack::get().waitForLog(run, "resting"));
        for (const Process& process : allProcesses())
            if (process.cgroups.find(run) != std::string::npos && process.name == "payload") return {run, openPidfd(process.pid)};
        throw std::runtime_error("no payload of run " + run);
    }
    static bool alive(const UniqueFd& pidfd) { return !waitForExit(pidfd.get(), Deadline{std::chrono::milliseconds(0)}); }
    void expectRunsWork() {
        EXPECT_TRUE(waitUntil(
            [&] {
                return Stack::get().ctl({"run", "t-payload", target(), "--", "exit", "6"}).status == 6;
            },
            Deadline{kPatience}))
            << Stack::get().logs();
    }
};

TEST_F(Recovery, ARunOutlivesItsDaemonAndIsAdopted) {
    const auto [run, payload] = startResting();
    killHard("recapd.service");
    EXPECT_TRUE(alive(payload)) << "the capsule died with recapd";
    json details;
    EXPECT_TRUE(waitUntil(
        [&] {
            details = Stack::get().ctlJson({"show", run});
            return details.value("state", "") == "running";
        },
        Deadline{kPatience}))
        << details.dump();
    EXPECT_TRUE(Stack::get().ctl({"stop", run}).ok());
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "killed") << ended.dump();
    expectClean(ended);
    EXPECT_THAT(Stack::get().ctl({"logs", run}).out, testing::HasSubstr("resting"));
    EXPECT_THAT(left(), IsEmpty());
    expectRunsWork();
}

TEST_F(Recovery, AnEndWithoutADaemonIsReportedByTheNext) {
    const auto [run, payload] = startResting();
    // held while its capsule ends, so that it can't have heard of it; then it never hears anything again
    const pid_t daemon = Stack::get().pid("recapd.service");
    ::kill(daemon, SIGSTOP);
    for (const Process& process : allProcesses())
        if (process.cgroups.find(run) != std::string::npos && process.name == "payload") ::kill(process.pid, SIGUSR1);
    EXPECT_TRUE(waitForExit(payload.get(), Deadline{kPatience}));
    killHard("recapd.service");
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "killed") << ended.dump();
    EXPECT_EQ(ended.at("exit_code"), 128 + SIGUSR1);
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Recovery, CapsulesDieWithTheLauncherAndTheNextOneSweeps) {
    const auto [run, payload] = startResting();
    const std::vector<pid_t> before = companionsOf(nginx_->pid());
    killHard("recap-launcher.service");
    EXPECT_TRUE(waitForExit(payload.get(), Deadline{kPatience})) << "the capsule outlived the launcher";
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "lost") << ended.dump();
    expectRunsWork();
    for (const pid_t pid : companionsOf(nginx_->pid())) EXPECT_THAT(processOf(pid)->cgroups, testing::HasSubstr(nginx_->name()));
    EXPECT_EQ(nginx_->get().status, 200);
    // the new launcher is another process with descriptors of its own: what it sees must be as before
    outside_ = std::make_unique<Outside>(Stack::get().outside({nginx_->pid()}, {nginx_->rootfs()}));
    before_ = outside_->look();
    expectRunsWork();
    EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Recovery, WithoutALauncherARunIsRefusedAtOnce) {
    const std::filesystem::path socket = Stack::get().folder("RECAP_RUNTIME_DIR") / "launcher.sock";
    const std::filesystem::path hidden = socket.string() + ".hidden";
    std::filesystem::rename(socket, hidden);
    const pid_t old = Stack::get().pid("recap-launcher.service");
    const UniqueFd pidfd = openPidfd(old);
    ::kill(old, SIGKILL);
    EXPECT_TRUE(waitForExit(pidfd.get(), Deadline{kPatience}));
    json refused;
    EXPECT_TRUE(waitUntil(
        [&] {
            refused = Stack::get().run("t-payload", target(), {"exit"});
            return refused.contains("error");
        },
        Deadline{kPatience}));
    EXPECT_EQ(refused.at("error").at("code"), "Unavailable") << refused.dump();
    EXPECT_THAT(std::string(refused.at("error").at("message")), testing::HasSubstr("launcher"));
    std::filesystem::rename(hidden, socket);
    expectRunsWork();
}

TEST_F(Recovery, AKilledPluginHostComesBackAndTargetsStay) {
    killHard("recap-plugin-host@process.service");
    expectRunsWork();
    EXPECT_EQ(Stack::get().ctl({"run", "t-payload", nginx_->name(), "--", "exit", "3"}).status, 3);
}

}  // namespace
}  // namespace recap::test
