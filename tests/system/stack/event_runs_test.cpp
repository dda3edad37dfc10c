// SPDX-License-Identifier: Apache-2.0
// Capsules that run because something happened: a target starts, another capsule's run has ended.
#include <unistd.h>

#include "tests/support/wait.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class EventRuns : public StackTest {
protected:
    static void SetUpTestSuite() { StackTest::SetUpTestSuite(); }
    void TearDown() override {
        for (const auto& name : enabled_) Stack::get().ctl({"capsule", "disable", name});
        EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs();
    }

    // On containers of this test alone, where others run on this machine too.
    void enable(const std::string& name, const std::string& command, const std::string& event, const std::string& sandbox = {}) {
        Stack::get().install(manifestOf(name, "test/payload:1", command,
                                        "[target]\nselector = { events = \"" + mine_ + "\" }\n" + sandbox +
                                            "[limits]\ntimeout = \"1min\"\n[[schedule.event]]\n" + event + "\n"));
        const CommandResult enabled = Stack::get().ctl({"capsule", "enable", name});
        ASSERT_TRUE(enabled.ok()) << enabled.all();
        enabled_.push_back(name);
    }
    std::unique_ptr<MicroContainer> start(bool selected = true) const {
        std::map<std::string, std::string> labels;
        if (selected) labels["events"] = mine_;
        return std::make_unique<MicroContainer>(ContainerOptions{.kind = "busybox", .labels = labels, .runtimeRoot = kRuncRoot});
    }
    static bool isKnown(const MicroContainer& container) {
        const auto known = [&] {
            const json all = Stack::get().ctlJson({"targets"});
            for (const auto& row : all.at("targets"))
                if (row.at("target") == targetOf(container)) return true;
            return false;
        };
        return waitUntil(known, Deadline{kPatience});
    }
    static std::vector<json> runsOf(const std::string& capsule) {
        return Stack::get().ctlJson({"runs", "--capsule", capsule}).at("runs").get<std::vector<json>>();
    }
    static std::vector<std::string> targetsOf(const std::string& capsule) {
        std::vector<std::string> targets;
        for (const auto& run : runsOf(capsule)) targets.push_back(run.at("target"));
        return targets;
    }
    // The one run of it on that target, once it has ended.
    static json ended(const std::string& capsule, const MicroContainer& on) {
        json found;
        const auto finished = [&] {
            for (const auto& run : runsOf(capsule))
                if (run.at("target") == targetOf(on) && run.at("state") == "finished") found = run;
            return !found.is_null();
        };
        EXPECT_TRUE(waitUntil(finished, Deadline{kPatience})) << Stack::get().logs();
        return found;
    }
    static std::string said(const json& run) { return Stack::get().ctl({"logs", run.value("id", "")}).out; }

    const std::string mine_ = "events-" + std::to_string(::getpid());
    std::vector<std::string> enabled_;
};

TEST_F(EventRuns, A17_EachTargetThatStartsIsLookedThroughOnce) {
    const auto before = start();
    ASSERT_TRUE(isKnown(*before));
    enable("e-scan", "[\"/payload\", \"cat\", \"/target/etc/app.conf\"]", "on = \"target-start\"", "[sandbox]\nview = \"read-only\"\n");
    const auto first = start(), another = start(false);
    auto second = start();
    for (const MicroContainer* app : {first.get(), second.get()}) {
        const json run = ended("e-scan", *app);
        EXPECT_EQ(run.value("outcome", ""), "succeeded") << run.dump(2);
        EXPECT_EQ(run.value("trigger", ""), "event");
        EXPECT_EQ(run.value("event", ""), "target-start");
        EXPECT_EQ(run.value("escape", ""), "clean");
        EXPECT_EQ(said(run), "answer = 42\n");
    }
    ASSERT_TRUE(isKnown(*another));
    EXPECT_THAT(targetsOf("e-scan"), UnorderedElementsAre(targetOf(*first), targetOf(*second)))
        << "not what was there before, nor what is not selected";
    const std::string gone = targetOf(*second);
    second.reset();
    second = start();
    ended("e-scan", *second);
    EXPECT_THAT(targetsOf("e-scan"), UnorderedElementsAre(targetOf(*first), gone, targetOf(*second))) << "another life, another scan";
    ASSERT_TRUE(Stack::get().ctl({"capsule", "disable", "e-scan"}).ok());
    const auto late = start();
    ASSERT_TRUE(isKnown(*late));
    EXPECT_THAT(runsOf("e-scan"), SizeIs(3)) << "its runs begin as a target is known";
}

TEST_F(EventRuns, APayloadIsToldWhatHappened) {
    enable("e-told", "[\"/payload\", \"arguments\"]", "on = \"target-start\"");
    const auto app = start();
    const json run = ended("e-told", *app);
    EXPECT_THAT(said(run), AllOf(HasSubstr("env: RECAP_TRIGGER=event\n"), HasSubstr("env: RECAP_EVENT=target-start\n"),
                                 HasSubstr("env: RECAP_EVENT_TARGET=" + targetOf(*app) + "\n"), HasSubstr("env: RECAP_EVENT_TIME=")));
}

// What a failure starts is started once in a cooldown, and the rest is one row.
TEST_F(EventRuns, A17_AChainRunsAtItsOutcomeAndNotFasterThanItsCooldown) {
    const auto app = start();
    ASSERT_TRUE(isKnown(*app));
    enable("e-dump", "[\"/payload\", \"exit\"]",
           "on = \"run-finished\"\ncapsule = \"t-payload\"\noutcome = \"failed\"\ncooldown = \"60s\"");
    Stack::get().run("t-payload", targetOf(*app), {"exit"});
    Stack::get().run("t-payload", target(), {"exit", "3"});
    std::vector<std::string> failed;
    for (int i = 0; i < 4; ++i) failed.push_back(Stack::get().run("t-payload", targetOf(*app), {"exit", "3"}).at("id"));
    const json dump = ended("e-dump", *app);
    EXPECT_EQ(dump.value("outcome", ""), "succeeded") << dump.dump(2);
    EXPECT_THAT(targetsOf("e-dump"), ElementsAre(targetOf(*app))) << "one, and nothing where it is not selected, or that went well";
    ASSERT_TRUE(Stack::get().ctl({"capsule", "disable", "e-dump"}).ok());
    const auto skipped = [] { return Stack::get().ctlJson({"runs", "--capsule", "e-dump", "--outcome", "skipped"}).at("runs"); };
    ASSERT_TRUE(waitUntil([&] { return !skipped().empty(); }, Deadline{kPatience}));
    EXPECT_THAT(skipped(), SizeIs(1));
    EXPECT_THAT(skipped().at(0).at("detail").get<std::string>(), HasSubstr("3 more came within the cooldown of 60 s"));
    EXPECT_EQ(skipped().at(0).at("target"), targetOf(*app));
}

}  // namespace
}  // namespace recap::test
