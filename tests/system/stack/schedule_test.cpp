// SPDX-License-Identifier: Apache-2.0
// Capsules that run by themselves where no systemd runs: recapd keeps their periods, and no calendars (with one: tests/boot).
#include <pwd.h>
#include <signal.h>

#include <algorithm>
#include <ctime>

#include "tests/system/stack/polkit_rule.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kNobody = 65534;

class Schedule : public StackTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        const std::string mine = "turns-" + std::to_string(::getpid());  // other containers of this machine are nobody's target here
        own_ = std::make_unique<MicroContainer>(ContainerOptions{.labels = {{"turns", mine}}, .runtimeRoot = kRuncRoot});
        Stack::get().run("t-payload", targetOf(*own_), {"exit"});
        selector_ = "[target]\nselector = { turns = \"" + mine + "\" }\n";
    }
    static void TearDownTestSuite() {
        own_.reset();
        StackTest::TearDownTestSuite();
    }
    void TearDown() override {
        const json all = Stack::get().ctlJson({"schedule"});
        for (const auto& row : all.at("schedule"))
            if (row.at("enabled")) Stack::get().ctl({"capsule", "disable", row.at("capsule")});
    }
    static std::string manifest(const std::string& name, const std::string& periodic) {
        return manifestOf(name, "test/payload:1", "[\"/payload\", \"exit\"]", selector_ + "[schedule.periodic]\n" + periodic + "\n");
    }
    static void installed(const std::string& name, const std::string& periodic) { Stack::get().install(manifest(name, periodic)); }

    static std::vector<json> runsOf(const std::string& capsule) {
        return Stack::get().ctlJson({"runs", "--capsule", capsule}).at("runs").get<std::vector<json>>();
    }
    static bool hasRuns(const std::string& capsule, std::size_t count) {
        return waitUntil([&] { return runsOf(capsule).size() >= count; }, Deadline{kPatience});
    }
    static json rowOf(const std::string& capsule) {
        const json all = Stack::get().ctlJson({"schedule"});
        for (const auto& row : all.at("schedule"))
            if (row.at("capsule") == capsule) return row;
        return {};
    }
    static std::vector<json> withOutcome(const std::string& capsule, const std::string& outcome) {
        return Stack::get().ctlJson({"runs", "--capsule", capsule, "--outcome", outcome}).at("runs").get<std::vector<json>>();
    }
    static json onlyOneUnderWay(const std::string& capsule) {  // null: none
        json found;
        for (const auto& run : runsOf(capsule)) {
            if (run.at("state") == "finished" || run.at("state") == "pending") continue;
            EXPECT_TRUE(found.is_null()) << run.dump(2) << found.dump(2);
            found = run;
        }
        return found;
    }
    static json phasesOf(const std::string& run) {  // by CLOCK_MONOTONIC
        const CommandResult got = test::run({"busctl", "--json=short", "--address=" + variable("DBUS_SYSTEM_BUS_ADDRESS", "dev with"),
                                             "get-property", "org.recap1", "/org/recap1/run/" + run, "org.recap1.Run", "Phases"});
        EXPECT_TRUE(got.ok()) << got.all();
        return json::parse(got.out).at("data");
    }
    static void endWhatIsUnderWay(const std::string& capsule) {
        const json run = onlyOneUnderWay(capsule);
        if (run.is_null()) return;
        Stack::get().ctl({"stop", "--now", run.at("id")});
        expectClean(Stack::get().waitForEnd(run.at("id")));
    }
    // At once, where nothing of it is under way: its timer may be quicker, and then this turn is the one that does not happen.
    static bool hasTurnNow(const std::string& capsule) {
        endWhatIsUnderWay(capsule);
        const std::string batch = trimmed(Stack::get().ctl({"run", "--now", capsule}).out);
        std::vector<json> rows;
        const auto told = [&] {
            rows = Stack::get().ctlJson({"runs", "--batch", batch}).at("runs").get<std::vector<json>>();
            return !rows.empty() && rows[0].at("state") != "pending";
        };
        EXPECT_TRUE(waitUntil(told, Deadline{kPatience}));
        EXPECT_EQ(rows.size(), 1u);
        return rows.size() == 1 && rows[0].at("state") != "finished";
    }
    static void expectNoneBesideAnother(const std::string& capsule) {
        std::uint64_t free = 0;
        const auto runs = runsOf(capsule);
        for (auto run = runs.rbegin(); run != runs.rend(); ++run) {  // oldest first
            if (run->at("outcome") == "skipped") continue;
            const json phases = phasesOf(run->at("id"));
            EXPECT_GE(phases.value("executing", std::uint64_t{0}), free) << run->dump(2);
            free = phases.value("escaped", UINT64_MAX);
        }
    }
    static CommandResult turn(const std::string& capsule, std::uint32_t uid) {
        return run(
            Command{.argv = {"busctl", "call", "org.recap1", "/org/recap1", "org.recap1.Manager", "RunScheduled", "sa{sv}", capsule, "0"},
                    .uid = uid});
    }

    static std::unique_ptr<MicroContainer> own_;
    static std::string selector_;
};

std::unique_ptr<MicroContainer> Schedule::own_;
std::string Schedule::selector_;

TEST_F(Schedule, AnEnabledCapsuleRunsAgainAndAgainWhoeverKillsRecapd) {
    installed("t-often", "every = \"1s\"");
    EXPECT_THAT(runsOf("t-often"), IsEmpty());
    ASSERT_TRUE(Stack::get().ctl({"capsule", "enable", "t-often"}).ok());
    ASSERT_TRUE(hasRuns("t-often", 2)) << Stack::get().logs();
    for (const auto& run : runsOf("t-often")) {
        EXPECT_EQ(run.at("target"), targetOf(*own_));
        EXPECT_EQ(run.at("trigger"), "periodic");
        EXPECT_NE(run.at("batch"), "");
    }
    EXPECT_TRUE(rowOf("t-often").at("enabled"));
    EXPECT_EQ(rowOf("t-often").at("targets"), 1);
    EXPECT_GT(rowOf("t-often").at("next"), rowOf("t-often").at("last"));

    const pid_t recapd = Stack::get().pid("recapd.service");
    const UniqueFd pidfd = openPidfd(recapd);
    ::kill(recapd, SIGKILL);
    ASSERT_TRUE(waitForExit(pidfd.get(), Deadline{kPatience}));
    ASSERT_TRUE(waitUntil([&] { return Stack::get().ctl({"backends"}).ok(); }, Deadline{kPatience})) << Stack::get().logs();
    const std::size_t before = runsOf("t-often").size();
    ASSERT_TRUE(hasRuns("t-often", before + 2)) << Stack::get().logs();

    ASSERT_TRUE(Stack::get().ctl({"capsule", "disable", "t-often"}).ok());
    EXPECT_FALSE(rowOf("t-often").at("enabled"));
    EXPECT_FALSE(rowOf("t-often").contains("next"));
    EXPECT_THAT(turn("t-often", 0).err, HasSubstr("is not enabled"));
}

TEST_F(Schedule, ATurnIsHadAtOnceByRootAndByTheTimersUserAndByNobodyElse) {
    installed("t-daily", "every = \"1d\"");
    ASSERT_TRUE(Stack::get().ctl({"capsule", "enable", "t-daily"}).ok());
    const CommandResult now = Stack::get().ctl({"run", "--now", "t-daily"});
    EXPECT_TRUE(now.ok()) << now.all();
    EXPECT_EQ(trimmed(now.out).size(), 26u) << now.out;
    ASSERT_TRUE(hasRuns("t-daily", 1));
    EXPECT_EQ(runsOf("t-daily")[0].at("batch"), trimmed(now.out));
    const passwd* timer = ::getpwnam("recap-timer");
    ASSERT_NE(timer, nullptr);
    EXPECT_TRUE(turn("t-daily", timer->pw_uid).ok()) << turn("t-daily", timer->pw_uid).all();
    EXPECT_THAT(turn("t-daily", kNobody).err, HasSubstr("org.recap1.run-scheduled"));
    EXPECT_THAT(Stack::get().ctl({"run", "t-daily", targetOf(*own_)}, timer->pw_uid).err, HasSubstr("org.recap1.run"))
        << "and nothing else";
    EXPECT_FALSE(Stack::get().ctl({"run", "--now", "t-payload"}).ok());
}

TEST_F(Schedule, ACalendarIsCheckedAndShownAndNotEnabledWithoutSystemd) {
    const TempDir folder;
    writeFile(folder.path() / "capsule.toml", manifest("t-wrong", "calendar = \"the 30th of February\""));
    EXPECT_THAT(Stack::get().ctl({"capsule", "install", (folder.path() / "capsule.toml").string()}).err,
                HasSubstr("systemd takes no calendar 'the 30th of February'"));
    installed("t-quarterly", "calendar = \"*:0/15\"");
    const CommandResult enabled = Stack::get().ctl({"capsule", "enable", "t-quarterly"});
    EXPECT_EQ(enabled.status, 125);
    EXPECT_THAT(enabled.err, AllOf(HasSubstr("no systemd"), HasSubstr("schedule.periodic.every")));
    const auto next = rowOf("t-quarterly").at("upcoming").get<std::vector<std::uint64_t>>();
    ASSERT_EQ(next.size(), 5u);
    const std::string shown = Stack::get().ctl({"capsule", "show", "t-quarterly"}).out;
    for (const auto time : next) {
        const auto seconds = static_cast<std::time_t>(time / 1'000'000);
        char text[32];
        std::tm parts{};
        std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S\n", ::localtime_r(&seconds, &parts));
        EXPECT_THAT(shown, HasSubstr(text));
    }
}

// A18: it goes on over a restart of its target, beside no earlier run of its own, and what did not happen for that is counted.
TEST_F(Schedule, A18_EveryTwoSecondsOverARestartOfItsTarget) {
    const std::string mine = "restarts-" + std::to_string(::getpid());
    const auto startTarget = [&] {
        return std::make_unique<MicroContainer>(
            ContainerOptions{.name = "recap-" + mine, .kind = "busybox", .labels = {{"turns", mine}}, .runtimeRoot = kRuncRoot});
    };
    Stack::get().install(manifestOf("t-two", "test/payload:1", "[\"/payload\", \"rest\"]",
                                    "[target]\nselector = { turns = \"" + mine + "\" }\n[limits]\ntimeout = \"5min\"\n" +
                                        "[schedule]\noverlap = \"skip\"\n[schedule.periodic]\nevery = \"2s\"\n"));
    auto app = startTarget();
    const std::string before = targetOf(*app);
    Stack::get().run("t-payload", before, {"exit"});  // from now on it is known
    ASSERT_TRUE(Stack::get().ctl({"capsule", "enable", "t-two"}).ok());
    ASSERT_TRUE(waitUntil([] { return withOutcome("t-two", "skipped").size() >= 2; }, Deadline{kPatience})) << Stack::get().logs();
    const json first = onlyOneUnderWay("t-two");
    ASSERT_FALSE(first.is_null());
    EXPECT_EQ(first.value("target", ""), before);
    for (const auto& missed : withOutcome("t-two", "skipped"))
        EXPECT_THAT(missed.at("detail").get<std::string>(),
                    HasSubstr("run " + first.value("id", "") + " of this capsule is still under way"));

    app.reset();
    EXPECT_EQ(Stack::get().waitForEnd(first.value("id", "")).value("outcome", ""), "target-gone");
    const auto withoutTarget = [] {
        const auto skipped = withOutcome("t-two", "skipped");
        return std::ranges::count_if(skipped, [](const json& run) {
            return run.at("target") == "" && run.value("detail", "").find("no target that runs is one of those") == 0;
        });
    };
    ASSERT_TRUE(waitUntil([&] { return withoutTarget() >= 2; }, Deadline{kPatience})) << "its turns go on, and say so";
    EXPECT_EQ(rowOf("t-two").at("targets"), 0);
    EXPECT_TRUE(onlyOneUnderWay("t-two").is_null());

    app = startTarget();
    ASSERT_NE(targetOf(*app), before);
    json again;
    ASSERT_TRUE(waitUntil([&] { return !(again = onlyOneUnderWay("t-two")).is_null(); }, Deadline{kPatience})) << Stack::get().logs();
    EXPECT_EQ(again.at("target"), targetOf(*app)) << "found anew, by its label";

    EXPECT_TRUE(waitUntil([] { return hasTurnNow("t-two"); }, Deadline{kPatience}));
    ASSERT_TRUE(Stack::get().ctl({"capsule", "disable", "t-two"}).ok());
    endWhatIsUnderWay("t-two");
    expectNoneBesideAnother("t-two");
}

TEST_F(Schedule, WhoEnablesNeedsTheRightToRunAndLendsIt) {
    installed("t-theirs", "every = \"1d\"");
    const auto enable = [] { return Stack::get().ctl({"capsule", "enable", "t-theirs"}, kNobody); };
    EXPECT_THAT(enable().err, HasSubstr("org.recap1.manage-capsules"));
    {
        const PolkitRule manages{"\"org.recap1.manage-capsules\""};
        ASSERT_TRUE(waitUntil([&] { return enable().err.find("manage-capsules") == std::string::npos; }, Deadline{kPatience}));
        EXPECT_THAT(enable().err, HasSubstr("org.recap1.run)"));
    }
    const PolkitRule both{"\"org.recap1.manage-capsules\", \"org.recap1.run\""};
    ASSERT_TRUE(waitUntil([&] { return enable().ok(); }, Deadline{kPatience})) << enable().all();
    EXPECT_EQ(rowOf("t-theirs").at("enabler"), kNobody);
    const CommandResult now = Stack::get().ctl({"run", "--now", "t-theirs"}, kNobody);
    ASSERT_TRUE(now.ok()) << now.all();
    ASSERT_TRUE(hasRuns("t-theirs", 1));
    const json ended = Stack::get().waitForEnd(runsOf("t-theirs")[0].at("id"));
    EXPECT_EQ(ended.at("outcome"), "succeeded") << ended.dump(2);
    EXPECT_EQ(ended.at("caller"), kNobody);

    const TempDir folder;
    writeFile(folder.path() / "capsule.toml", manifest("t-theirs", "every = \"1d\"\n[sandbox]\nview = \"read-only\""));
    ASSERT_TRUE(Stack::get().ctl({"capsule", "install", "--replace", (folder.path() / "capsule.toml").string()}).ok());
    EXPECT_THAT(Stack::get().ctl({"run", "--now", "t-theirs"}).err, HasSubstr("enable it again"));
    EXPECT_THAT(rowOf("t-theirs").at("problem").get<std::string>(), HasSubstr("user 65534"));
}

}  // namespace
}  // namespace recap::test
