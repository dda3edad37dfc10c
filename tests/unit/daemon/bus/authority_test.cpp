// SPDX-License-Identifier: Apache-2.0
// Questions to a polkit that answers late, badly or never.
#include "tests/unit/daemon/bus/asking.hpp"

namespace recap::test {
namespace {

using Names = std::vector<std::string>;

using AuthorityTest = House;

TEST_F(AuthorityTest, OneUsersQuestionsLeaveRoomForOthers) {
    Asking asking(12);
    turnUntil([&] { return asking.said().size() >= 4 && polkit.questions.size() >= 8; });
    EXPECT_EQ(polkit.questions.size(), 8u);
    for (const auto& line : asking.said()) EXPECT_EQ(errorName(line), "org.recap1.Error.Busy") << line;
    // Root is not asked about.
    EXPECT_EQ(callManager<sdbus::ObjectPath>("Run", std::string("tool"), std::string("process:1"), Names(), Values()).outcome, "ok");
    // An answer makes room.
    for (auto& question : polkit.questions) question.answer.returnResults(FakePolkit::Verdict{true, false, {}});
    turnUntil([&] { return asking.said().size() >= 12; });
    EXPECT_EQ(std::count(asking.said().begin(), asking.said().end(), "ok"), 8);
    Asking again(1);
    turnUntil([&] { return polkit.questions.size() == 9; });
}

TEST_F(AuthorityTest, WhoLeavesIsNotAskedAboutAnyMore) {
    Asking asking(8);
    turnUntil([&] { return polkit.questions.size() == 8; });
    asking.leave();
    turnUntil([&] { return polkit.cancelled.size() == 8; });
    for (const auto& question : polkit.questions)
        EXPECT_EQ(std::count(polkit.cancelled.begin(), polkit.cancelled.end(), question.cancellation), 1);
    Asking again(1);
    turnUntil([&] { return polkit.questions.size() == 9; });
    EXPECT_TRUE(runs.submitted.empty());
}

TEST_F(AuthorityTest, APolkitThatFailsIsNoRefusal) {
    polkit.mood = FakePolkit::Mood::Broken;
    Asking asking(1);
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(errorName(asking.said()[0]), "org.recap1.Error.Unavailable") << asking.said()[0];
    turnUntil([&] { return polkit.cancelled == Names{polkit.questions.at(0).cancellation}; });  // it may be asking still
}

TEST_F(AuthorityTest, WhatIsThrownAfterPolkitsYesIsTheAnswer) {
    polkit.mood = FakePolkit::Mood::Yes;
    runs.broken = true;
    Asking asking(1);
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(asking.said()[0], "org.recap1.Error.Internal: broken inside");
}

TEST_F(AuthorityTest, PolkitIsToldWhatTheCallerChose) {
    polkit.mood = FakePolkit::Mood::Yes;
    const Values chosen{{"view", sdbus::Variant(std::string("none"))},
                        {"user", sdbus::Variant(std::string("root"))},
                        {"processes", sdbus::Variant(std::string("join"))},
                        {"image", sdbus::Variant(std::string("recap/other:1"))}};
    Asking plain(1);
    turnUntil([&] { return !plain.said().empty(); });
    Asking asking(1, "Run", chosen);
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(polkit.questions.at(0).action, "org.recap1.run");
    EXPECT_EQ(polkit.questions.at(0).details.at("digest"), images.image.digest);
    EXPECT_EQ(polkit.questions.at(1).action, "org.recap1.run-privileged");
    const auto& details = polkit.questions.at(1).details;
    EXPECT_EQ(details.at("user"), "root");
    EXPECT_EQ(details.at("namespaces"), "pid");
    EXPECT_EQ(details.at("processes"), "join");
    EXPECT_EQ(details.at("view"), "none");
    EXPECT_EQ(details.at("digest"), "") << "another image than the manifest's, that is not here";
    EXPECT_EQ(runs.submitted.at(1).adjustments.user, "root");
}

TEST_F(AuthorityTest, PolkitIsToldWhatIsTheHosts) {
    polkit.mood = FakePolkit::Mood::Yes;
    capsules.info.namespaces = {"net", "uts"};
    Target target;
    target.id = {"process", "1"};
    target.pid = ::getpid();
    targets.state({"process", "process", BackendState::Ready, "", 0});
    targets.added(target);
    ASSERT_EQ(launcher.inspects.size(), 1u);
    TargetFacts facts;
    facts.startTime = (*targets.resolve("process:1"))->startTime;
    facts.hostNamespaces = 1 | 2 | 16;
    launcher.inspects[0](facts);
    Asking joins(1);
    turnUntil([&] { return !joins.said().empty(); });
    EXPECT_EQ(polkit.questions.at(0).action, "org.recap1.run-privileged");
    EXPECT_EQ(polkit.questions.at(0).details.at("host-namespaces"), "net");
    EXPECT_EQ(runs.submitted.at(0).authorised->hostNamespaces, 2u);
    capsules.info.namespaces = {"uts"};
    Asking beside(1);
    turnUntil([&] { return !beside.said().empty(); });
    EXPECT_EQ(polkit.questions.at(1).action, "org.recap1.run");
    EXPECT_EQ(polkit.questions.at(1).details.at("host-namespaces"), "");
}

TEST_F(AuthorityTest, PolkitIsToldWhichCapsuleIsInstalled) {
    polkit.mood = FakePolkit::Mood::Yes;
    Asking asking(1, "InstallCapsule");
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(asking.said()[0], "ok");
    EXPECT_EQ(polkit.questions.at(0).action, "org.recap1.manage-capsules");
    EXPECT_EQ(polkit.questions.at(0).details.at("capsule"), "its-name");
}

}  // namespace
}  // namespace recap::test
