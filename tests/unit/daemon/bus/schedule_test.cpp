// SPDX-License-Identifier: Apache-2.0
// What runs by itself: who may have it, and what is told about it.
#include <gmock/gmock.h>
#include <poll.h>

#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kCapsules = "org.recap1.manage-capsules";
constexpr std::uint32_t kNobody = 65534, kSomebodyElse = 1000;

// Asked by root's connection of the house, unless the bus says that it is another user's.
struct ScheduleTest : House {
    // A call of user nobody's, by a program of its own; polkit is asked.
    std::string callAsNobody(const std::string& method) {
        Child child(Command{.argv = {"busctl", "--system", "call", "org.recap1", "/org/recap1", kManager, method, "sa{sv}", "tool", "0"},
                            .uid = kNobody});
        bool ended = false;
        CommandResult result;
        for (const Deadline deadline(kPatience); !ended && !deadline.passed();) {
            sd_event_run(loop.get(), 10'000);
            while (polkit.connection->processPendingRequest()) {
            }
            pollfd end{child.pidfd(), POLLIN, 0};
            ended = ::poll(&end, 1, 0) > 0;
        }
        return child.wait(Deadline(kPatience)).all();
    }
    std::vector<std::string> asked() const {
        std::vector<std::string> actions;
        for (const auto& question : polkit.questions) actions.push_back(question.action);
        return actions;
    }
};

TEST_F(ScheduleTest, RootEnablesForItselfWhatItSees) {
    EXPECT_EQ(callManager<>("EnableCapsule", std::string("tool"), Values()).outcome, "ok");
    ASSERT_THAT(schedules.enabled, SizeIs(1));
    EXPECT_EQ(schedules.enabled[0].capsule, "tool");
    EXPECT_EQ(schedules.enabled[0].uid, 0u);
    EXPECT_EQ(schedules.enabled[0].shown, asks(capsules.info));
    EXPECT_THAT(polkit.questions, IsEmpty());
    EXPECT_EQ(callManager<>("DisableCapsule", std::string("tool"), Values()).outcome, "ok");
    EXPECT_THAT(schedules.disabled, ElementsAre("tool"));
    EXPECT_EQ(errorName(callManager<>("EnableCapsule", std::string("unknown"), Values()).outcome), "org.recap1.Error.NotFound");
    EXPECT_EQ(errorName(callManager<>("EnableCapsule", std::string(600, 'x'), Values()).outcome), "org.recap1.Error.InvalidArgument");
    EXPECT_THAT(schedules.enabled, SizeIs(1));
}

TEST_F(ScheduleTest, AnybodyElseNeedsTheRightToManageAndTheRightToRun) {
    polkit.mood = FakePolkit::Mood::Yes;
    callAsNobody("EnableCapsule");
    EXPECT_THAT(asked(), ElementsAre(kCapsules, "org.recap1.run"));
    EXPECT_EQ(polkit.questions[1].details.at("target"), "") << "whatever it matches";
    EXPECT_EQ(polkit.questions[1].details.at("verb"), "EnableCapsule");
    ASSERT_THAT(schedules.enabled, SizeIs(1));
    EXPECT_EQ(schedules.enabled[0].uid, 65534u);
    capsules.info.capabilities = {"CAP_NET_RAW"};
    polkit.questions.clear();
    callAsNobody("EnableCapsule");
    EXPECT_THAT(asked(), ElementsAre(kCapsules, "org.recap1.run-privileged"));
    EXPECT_EQ(polkit.questions[1].details.at("capabilities"), "CAP_NET_RAW");
}

TEST_F(ScheduleTest, ATurnNeedsARightOfItsOwn) {
    polkit.mood = FakePolkit::Mood::Yes;
    EXPECT_THAT(callAsNobody("RunScheduled"), HasSubstr("/org/recap1/batch/01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    EXPECT_THAT(asked(), ElementsAre("org.recap1.run-scheduled"));
    EXPECT_THAT(schedules.turns, ElementsAre("tool"));
    schedules.refusal = Error{Errc::Denied, "capsule 'tool' is not enabled"};
    EXPECT_THAT(callAsNobody("RunScheduled"), HasSubstr("is not enabled"));
    polkit.mood = FakePolkit::Mood::Broken;
    schedules.turns.clear();
    EXPECT_THAT(callAsNobody("RunScheduled"), HasSubstr("you may not run capsule 'tool' as its timer does"));
    EXPECT_THAT(schedules.turns, IsEmpty());
}

TEST_F(ScheduleTest, WhoEnabledACapsuleHasItsTurnsWithoutARight) {
    polkit.mood = FakePolkit::Mood::Broken;
    capsules.info.enabled = true;
    capsules.info.enabling.uid = kSomebodyElse;
    EXPECT_THAT(callAsNobody("RunScheduled"), HasSubstr("you may not run"));
    EXPECT_THAT(asked(), ElementsAre("org.recap1.run-scheduled"));
    polkit.questions.clear();
    capsules.info.enabling.uid = kNobody;
    EXPECT_THAT(callAsNobody("RunScheduled"), HasSubstr("/org/recap1/batch/"));
    EXPECT_THAT(asked(), IsEmpty());
    EXPECT_THAT(schedules.turns, ElementsAre("tool"));
    capsules.info.enabled = false;
    EXPECT_THAT(callAsNobody("RunScheduled"), HasSubstr("you may not run")) << "who enabled it once";
    EXPECT_THAT(schedules.turns, SizeIs(1));
}

TEST_F(ScheduleTest, AWrongCalendarIsNotInstalled) {
    schedules.refusal = Error{Errc::InvalidArgument, "systemd takes no calendar 'dayly'"};
    const auto reply = callManager<sdbus::ObjectPath>("InstallCapsule", std::string("tool"), Values());
    EXPECT_EQ(reply.outcome, "org.recap1.Error.InvalidArgument: systemd takes no calendar 'dayly'");
    EXPECT_EQ(capsules.installed, 0);
    EXPECT_THAT(schedules.checked, SizeIs(1));
    schedules.refusal.reset();
    const int before = schedules.refreshed;
    EXPECT_EQ(callManager<sdbus::ObjectPath>("InstallCapsule", std::string("tool"), Values()).outcome, "ok");
    EXPECT_EQ(capsules.installed, 1);
    EXPECT_GT(schedules.refreshed, before);
}

TEST_F(ScheduleTest, NobodyElseGivesAnEnablerAnotherCommand) {
    polkit.mood = FakePolkit::Mood::Yes;
    capsules.info.enabled = true;
    for (const std::uint32_t enabler : {0u, kSomebodyElse}) {
        capsules.info.enabling.uid = enabler;
        EXPECT_THAT(callAsNobody("InstallCapsule"), HasSubstr("by the right of user " + std::to_string(enabler) + " who enabled it"));
        EXPECT_EQ(capsules.installed, 0);
    }
    EXPECT_EQ(callManager<sdbus::ObjectPath>("InstallCapsule", std::string("tool"), Values()).outcome, "ok") << "root";
    capsules.info.enabling.uid = kNobody;
    EXPECT_THAT(callAsNobody("InstallCapsule"), HasSubstr("/org/recap1/capsule/"));
    capsules.info.enabling.uid = 0;
    capsules.info.enabled = false;
    EXPECT_THAT(callAsNobody("InstallCapsule"), HasSubstr("/org/recap1/capsule/"));
    EXPECT_EQ(capsules.installed, 3);
}

TEST_F(ScheduleTest, EachWayToStartIsARow) {
    ScheduleRow daily, often, pressed;
    daily.capsule = "daily";
    daily.periodic = PeriodicSchedule{"daily", {}, std::chrono::seconds(30)};
    daily.enabled = true;
    daily.enabler = 1000;
    daily.next = {5, 6, 7};
    daily.last = 4;
    daily.targets = 2;
    often.capsule = "often";
    often.periodic = PeriodicSchedule{"", std::chrono::seconds(90), {}};
    often.next = {9};
    often.problem = "it has one";
    pressed.capsule = "pressed";
    pressed.event.emplace();
    pressed.event->on = "pressure";
    pressed.event->resource = "memory";
    pressed.event->stall = std::chrono::milliseconds(100);
    pressed.unheard = "no pressure here";
    ScheduleRow unreadable;
    unreadable.capsule = "unreadable";
    unreadable.enabled = true;
    schedules.all = {daily, often, pressed, unreadable};
    const auto rows = list("ListSchedule");
    ASSERT_THAT(rows, SizeIs(4));
    EXPECT_FALSE(rows[3].contains("trigger") || rows[3].contains("every"));
    EXPECT_EQ(rows[0].at("trigger").get<std::string>(), "periodic");
    EXPECT_EQ(rows[0].at("calendar").get<std::string>(), "daily");
    EXPECT_EQ(rows[0].at("randomized-delay").get<std::uint64_t>(), 30'000'000u);
    EXPECT_EQ(rows[0].at("enabler").get<std::uint32_t>(), 1000u);
    EXPECT_EQ(rows[0].at("next").get<std::uint64_t>(), 5u);
    EXPECT_THAT(rows[0].at("upcoming").get<std::vector<std::uint64_t>>(), ElementsAre(5, 6, 7));
    EXPECT_EQ(rows[0].at("last").get<std::uint64_t>(), 4u);
    EXPECT_EQ(rows[0].at("targets").get<std::uint32_t>(), 2u);
    EXPECT_EQ(rows[1].at("every").get<std::uint64_t>(), 90'000'000u);
    EXPECT_EQ(rows[1].at("problem").get<std::string>(), "it has one");
    EXPECT_FALSE(rows[1].contains("enabler") || rows[1].contains("last") || rows[1].contains("upcoming") || rows[1].contains("calendar"));
    EXPECT_EQ(rows[2].at("trigger").get<std::string>(), "event");
    EXPECT_EQ(rows[2].at("on").get<std::string>(), "pressure");
    EXPECT_EQ(rows[2].at("resource").get<std::string>(), "memory");
    EXPECT_EQ(rows[2].at("stall").get<std::uint64_t>(), 100'000u);
    EXPECT_EQ(rows[2].at("unheard").get<std::string>(), "no pressure here");
    EXPECT_FALSE(rows[2].contains("next") || rows[2].contains("problem") || rows[1].contains("unheard"));
}

}  // namespace
}  // namespace recap::test
