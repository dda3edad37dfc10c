// SPDX-License-Identifier: Apache-2.0
// What happens in real containers and starts runs there: memory that runs out, a file that changes, pressure; and a target that never
// stops.
#include <sys/stat.h>

#include <fstream>

#include "tests/system/stack/catalogue_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class EventsInTargets : public CatalogueTest {
protected:
    void TearDown() override {
        for (const auto& row : Stack::get().ctlJson({"schedule"}).at("schedule").get<std::vector<json>>())
            if (row.at("enabled")) Stack::get().ctl({"capsule", "disable", row.at("capsule")});
    }
    // A container that runs this, with a folder that it may write to, and which no other test's capsules select.
    static std::unique_ptr<MicroContainer> container(const std::string& script) {
        auto made = std::make_unique<MicroContainer>(ContainerOptions{.kind = "busybox",
                                                                      .argv = {"/bin/sh", "-c", script},
                                                                      .labels = {{"watched", mine()}},
                                                                      .readOnlyRoot = false,
                                                                      .runtimeRoot = kRuncRoot});
        fs::create_directories(made->rootfs() / "srv");
        ::chmod((made->rootfs() / "srv").c_str(), 0777);
        Stack::get().run("t-payload", targetOf(*made), {"exit"});
        return made;
    }
    static std::string mine() { return "watched-" + std::to_string(::getpid()); }
    static std::string selector() { return "[target]\nselector = { watched = \"" + mine() + "\" }\n"; }
    static void enabled(const std::string& capsule) {
        const CommandResult result = Stack::get().ctl({"capsule", "enable", capsule});
        ASSERT_TRUE(result.ok()) << result.all();
    }
    // Runs the test payload so, on those that are selected, at this event.
    static void armed(const std::string& name, const std::string& word, const std::string& event, const std::string& sandbox = "") {
        Stack::get().install(manifestOf(name, "test/payload:1", "[\"/payload\", \"" + word + "\"]",
                                        selector() + sandbox + "[[schedule.event]]\n" + event + "\n"));
        enabled(name);
    }
    static json rowOf(const std::string& capsule) {
        for (const auto& row : Stack::get().ctlJson({"schedule"}).at("schedule").get<std::vector<json>>())
            if (row.at("capsule") == capsule) return row;
        return json::object();
    }
    static bool isUnheard(const std::string& capsule, const std::string& why) {
        return waitUntil([&] { return rowOf(capsule).value("unheard", "").find(why) != std::string::npos; }, Deadline{kPatience});
    }
    // Those that were started, the newest first.
    static std::vector<json> runsOf(const std::string& capsule) {
        auto rows = Stack::get().ctlJson({"runs", "--capsule", capsule}).at("runs").get<std::vector<json>>();
        std::erase_if(rows, [](const json& row) { return row.value("outcome", "") == "skipped"; });
        return rows;
    }
    static bool hasRuns(const std::string& capsule, std::size_t count) {
        return waitUntil([&] { return runsOf(capsule).size() >= count; }, Deadline{kPatience});
    }
    static std::string saidBy(const json& run) {
        const json ended = Stack::get().waitForEnd(run.at("id"));
        EXPECT_EQ(ended.at("outcome"), "succeeded") << ended.dump(2);
        expectClean(ended);
        return Stack::get().ctl({"logs", run.at("id")}).out;
    }
    static void append(const fs::path& file) {
        std::ofstream(file, std::ios::app) << "changed\n";
        ::chmod(file.c_str(), 0666);
    }
};

TEST_F(EventsInTargets, AProcessThatIsKilledForWantOfMemoryIsReportedOn) {
    Stack::get().importImage(shippedManifest("oom-report").image, shippedImage("oom-report"));
    Stack::get().install(replaced(shippedText("oom-report"), "[sandbox]\n", selector() + "[sandbox]\n"));
    const auto target = container("while :; do if [ -e /srv/go ]; then tail /dev/zero; fi; sleep 0.1; done");
    limitMemory(target->pid(), 32 << 20);
    enabled("oom-report");
    writeFile(target->rootfs() / "srv/go", "");  // again and again, as nobody tells when it is watched for
    ASSERT_TRUE(hasRuns("oom-report", 1)) << rowOf("oom-report").dump(2) << Stack::get().logs();
    fs::remove(target->rootfs() / "srv/go");
    const json run = runsOf("oom-report").back();
    EXPECT_EQ(run.at("trigger"), "event");
    EXPECT_EQ(run.at("event"), "oom");
    EXPECT_EQ(run.at("target"), targetOf(*target));
    const std::string said = saidBy(run);
    EXPECT_THAT(said, AllOf(HasSubstr("event: oom\n"), ContainsRegex("fact: KILLS=[1-9]"), HasSubstr("target: " + targetOf(*target))));
    EXPECT_TRUE(processOf(target->pid())) << "the container goes on";
}

TEST_F(EventsInTargets, AFileThatChangesIsInTheRunsEnvironmentWhoeverKillsTheLauncher) {
    const auto target = container("sleep 86401");
    const fs::path file = target->rootfs() / "srv/app.conf";
    const std::string event = "on = \"file-changed\"\npath = \"/srv/app.conf\"";
    armed("t-changed", "arguments", event);
    ASSERT_TRUE(isUnheard("t-changed", "/srv/app.conf of target " + targetOf(*target) + ": there is none")) << rowOf("t-changed").dump(2);
    append(file);
    ASSERT_TRUE(hasRuns("t-changed", 1)) << Stack::get().logs();
    EXPECT_THAT(saidBy(runsOf("t-changed").front()),
                AllOf(HasSubstr("env: RECAP_EVENT=file-changed\n"), HasSubstr("env: RECAP_EVENT_PATH=/srv/app.conf\n"),
                      HasSubstr("env: RECAP_EVENT_WHAT=created"), ContainsRegex("env: RECAP_EVENT_TIME=[0-9]{16}\n")));
    EXPECT_FALSE(rowOf("t-changed").contains("unheard"));

    append(file);
    ASSERT_TRUE(hasRuns("t-changed", 2)) << Stack::get().logs();
    EXPECT_THAT(saidBy(runsOf("t-changed").front()), HasSubstr("env: RECAP_EVENT_WHAT=modified\n"));

    killHard("recap-launcher.service");
    ASSERT_TRUE(waitUntil([&] { return Stack::get().run("t-payload", targetOf(*target), {"exit"}).value("outcome", "") == "succeeded"; },
                          Deadline{kPatience}));
    append(file);
    ASSERT_TRUE(hasRuns("t-changed", 3)) << "a watch is recapd's: " << Stack::get().logs();

    const std::size_t before = runsOf("t-changed").size();
    writeFile(target->rootfs() / "srv/next", "replaced\n");
    fs::rename(target->rootfs() / "srv/next", file);
    ASSERT_TRUE(hasRuns("t-changed", before + 1)) << Stack::get().logs();
    EXPECT_THAT(saidBy(runsOf("t-changed").front()), HasSubstr("env: RECAP_EVENT_WHAT=created,deleted\n"));
}

TEST_F(EventsInTargets, AFolderTellsWhatHasChangedInIt) {
    const auto target = container("sleep 86401");
    armed("t-told", "arguments", "on = \"file-changed\"\npath = \"/srv/drop\"", "[sandbox]\nview = \"read-only\"\n");
    ASSERT_TRUE(isUnheard("t-told", "there is none"));
    fs::create_directories(target->rootfs() / "srv/drop");
    ASSERT_TRUE(hasRuns("t-told", 1)) << Stack::get().logs();
    writeFile(target->rootfs() / "srv/drop/fresh", "new\n");
    ASSERT_TRUE(hasRuns("t-told", 2)) << Stack::get().logs();
    EXPECT_THAT(saidBy(runsOf("t-told").front()),
                AllOf(HasSubstr("env: RECAP_EVENT_PATH=/srv/drop\n"), HasSubstr("env: RECAP_EVENT_ENTRY=fresh\n")));
}

TEST_F(EventsInTargets, PressureThatRisesStartsARunOrIsRefusedByName) {
    const auto target = container("for i in 1 2 3 4 5 6; do while :; do :; done & done; wait");
    const fs::path own = cgroupOf(target->pid(), "");
    armed("t-pressed", "arguments", "on = \"pressure\"\nresource = \"cpu\"\nstall = \"5ms\"\nwindow = \"1s\"\ncooldown = \"1h\"");
    if (own.empty() || !fs::exists(own / "cpu.pressure")) {
        EXPECT_TRUE(isUnheard("t-pressed", "pressure: ")) << rowOf("t-pressed").dump(2);
        return;
    }
    ASSERT_TRUE(hasRuns("t-pressed", 1)) << rowOf("t-pressed").dump(2) << Stack::get().logs();
    EXPECT_THAT(saidBy(runsOf("t-pressed").front()),
                AllOf(HasSubstr("env: RECAP_EVENT_RESOURCE=cpu\n"), ContainsRegex("env: RECAP_EVENT_STALL=[0-9]+000\n"),
                      ContainsRegex("env: RECAP_EVENT_WINDOW=[12]000000\n")));
}

// Files that change as fast as they can, in several targets at once.
TEST_F(EventsInTargets, ATargetThatNeverStopsCostsLittleAndKeepsNobodyWaiting) {
    std::vector<std::unique_ptr<MicroContainer>> hostile;
    for (int i = 0; i < 3; ++i)
        hostile.push_back(container("while [ ! -e /srv/go ]; do sleep 0.1; done; while :; do echo x >> /srv/app.conf; : > /srv/" +
                                    std::string(200, 'n') + "; rm /srv/" + std::string(200, 'n') + "; done"));
    armed("t-storm", "exit", "on = \"file-changed\"\npath = \"/srv\"");
    armed("t-seldom", "exit", "on = \"file-changed\"\npath = \"/srv\"\ncooldown = \"1h\"");
    const pid_t recapd = Stack::get().pid("recapd.service");
    const auto peakKb = [&] { return std::stoul(statusOf(recapd).at("VmHWM")); };
    const auto before = peakKb();
    for (const auto& target : hostile) writeFile(target->rootfs() / "srv/go", "");
    ASSERT_TRUE(hasRuns("t-storm", 10)) << rowOf("t-storm").dump(2) << Stack::get().logs();
    for (int i = 0; i < 20; ++i) {
        const json run = Stack::get().run("t-payload", target(), {"exit"});
        EXPECT_EQ(run.value("outcome", ""), "succeeded") << run.dump(2);
    }
    for (int i = 0; i < 5; ++i) EXPECT_EQ(Stack::get().run("t-payload", targetOf(*hostile[0]), {"exit"}).value("outcome", ""), "succeeded");
    EXPECT_EQ(Stack::get().pid("recapd.service"), recapd) << "its watchdog had no reason";
    EXPECT_LE(peakKb(), before + 32 * 1024);
    std::map<std::string, int> seldom;
    for (const auto& run : runsOf("t-seldom")) ++seldom[run.at("target")];
    EXPECT_LE(seldom.size(), hostile.size());
    for (const auto& [target, count] : seldom) EXPECT_EQ(count, 1) << target << ": within one cooldown";
}

}  // namespace
}  // namespace recap::test
