// SPDX-License-Identifier: Apache-2.0
// Runs above the limits of recapd.toml wait for their turn, can be stopped, and keep no other target waiting; how runs are found again.
#include <sys/stat.h>

#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class QueueTest : public StackTest {
protected:
    void TearDown() override {
        std::filesystem::remove(dropIn());
        reload();
    }
    static std::filesystem::path dropIn() { return Stack::get().folder("RECAP_CONFIG_DIR") / "recapd.toml.d/50-limits.toml"; }
    static void reload() {
        const CommandResult reloaded = Stack::get().reload();
        EXPECT_TRUE(reloaded.ok()) << reloaded.all();
    }
    static void limit(const std::string& limits) {
        std::filesystem::create_directories(dropIn().parent_path());
        writeFile(dropIn(), "[limits]\n" + limits);
        ASSERT_EQ(::chmod(dropIn().c_str(), 0644), 0);
        reload();
    }
    std::string resting() const { return Stack::get().startDetached("t-payload", target(), {"rest"}); }
    static json show(const std::string& run) { return Stack::get().ctlJson({"show", run}); }
    static bool waits(const std::string& run) {
        return waitUntil([&] { return show(run).value("detail", "").find("waits for room") == 0; }, Deadline{kPatience});
    }
    static void end(const std::string& run) {
        EXPECT_TRUE(Stack::get().ctl({"stop", "--now", run}).ok());
        expectClean(Stack::get().waitForEnd(run));
    }
};

TEST_F(QueueTest, WhatIsAboveATargetsLimitWaitsAndMayBeStopped) {
    limit("runs-per-target = 1\n");
    const std::string first = resting();
    ASSERT_TRUE(Stack::get().waitForLog(first, "resting"));
    const std::string second = resting(), third = resting();
    ASSERT_TRUE(waits(second) && waits(third)) << show(second).dump(2);
    EXPECT_EQ(show(second).value("state", ""), "pending");
    EXPECT_THAT(show(second).value("detail", ""), HasSubstr("limits.runs-per-target = 1 of recapd.toml"));
    const MicroContainer other{ContainerOptions{.runtimeRoot = kRuncRoot}};
    EXPECT_EQ(Stack::get().run("t-payload", targetOf(other), {"exit"}).at("outcome"), "succeeded") << "another target has room";
    EXPECT_TRUE(Stack::get().ctl({"stop", second}).ok());
    const json stopped = Stack::get().waitForEnd(second);
    EXPECT_EQ(stopped.value("outcome", ""), "killed");
    EXPECT_EQ(stopped.value("detail", ""), "stopped before it was started");
    end(first);
    EXPECT_TRUE(Stack::get().waitForLog(third, "resting")) << "its turn has come";
    end(third);
    EXPECT_TRUE(left().empty());
}

TEST_F(QueueTest, ARunThatALaterRecapdAdoptsCounts) {
    limit("runs-per-target = 1\n");
    const std::string first = resting();
    ASSERT_TRUE(Stack::get().waitForLog(first, "resting"));
    const pid_t old = Stack::get().pid("recapd.service");
    ASSERT_EQ(::kill(old, SIGKILL), 0);
    ASSERT_TRUE(waitUntil(
        [&] {
            const pid_t now = Stack::get().pid("recapd.service");
            return now != 0 && now != old && show(first).value("state", "") == "running";
        },
        Deadline{kPatience}));
    const std::string second = resting();
    EXPECT_TRUE(waits(second)) << show(second).dump(2);
    end(first);
    EXPECT_TRUE(Stack::get().waitForLog(second, "resting"));
    end(second);
}

TEST_F(QueueTest, RunsAreFoundByWhatStartedThemAndWhen) {
    const std::string id = Stack::get().run("t-payload", target(), {"exit"}).at("id");
    const auto listed = [](std::vector<std::string> words) {
        words.insert(words.begin(), "runs");
        return Stack::get().ctl(words).out;
    };
    EXPECT_THAT(listed({"--capsule", "t-payload", "--trigger", "on-demand", "--since", "1h"}), HasSubstr(id));
    EXPECT_THAT(listed({"--trigger", "periodic"}), Not(HasSubstr(id)));
    EXPECT_THAT(listed({"--until", "2020-01-01"}), Not(HasSubstr(id)));
    EXPECT_THAT(listed({"--since", "2020-01-01", "--until", "2100-01-01 12:00Z"}), HasSubstr(id));
    EXPECT_THAT(listed({"--batch", "01HZZZZZZZZZZZZZZZZZZZ999A"}), Not(HasSubstr(id)));
    EXPECT_THAT(Stack::get().ctl({"runs", "--since", "yesterday"}).err, HasSubstr("--since: 'yesterday' is neither a duration"));
    EXPECT_EQ(Stack::get().ctl({"runs", "--trigger", "whim"}).status, 125);
    EXPECT_EQ(Stack::get().ctlJson({"runs", "--batch", "01HZZZZZZZZZZZZZZZZZZZ999A"}).at("runs").size(), 0u);
}

}  // namespace
}  // namespace recap::test
