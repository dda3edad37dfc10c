// SPDX-License-Identifier: Apache-2.0
// How much the engine holds, and for how long.
#include "fakes.hpp"

namespace recap::test {
namespace {

TEST(Bounds, TheOldestThatEndedMakeRoomAndStayInTheList) {
    Spine spine;
    spine.within({.ended = 3});
    std::vector<RunId> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(spine.refusedRun());
    EXPECT_EQ(spine.notes.expiredIds, (std::vector<RunId>{ids[0], ids[1]}));
    EXPECT_EQ(spine.engine->find(ids[1]), nullptr);
    EXPECT_NE(spine.engine->find(ids[2]), nullptr);
    EXPECT_EQ(spine.engine->list({}).value().runs.size(), 5u);
}

TEST(Bounds, AnEndedRunExpires) {
    Spine spine;
    spine.within({.keptUsec = 1});
    const RunId id = spine.refusedRun();
    turnUntil(spine.loop.get(), [&] { return !spine.notes.expiredIds.empty(); });
    EXPECT_EQ(spine.notes.expiredIds, std::vector<RunId>{id});
    EXPECT_EQ(spine.engine->find(id), nullptr);
}

TEST(Bounds, WhatIsStillBroughtInDoesNotExpire) {
    Spine spine;
    spine.within({.ended = 1});
    const RunId id = spine.startedRun();
    auto ended = report(id);
    ended.hasArtifacts = true;
    spine.engine->ended(ended);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.collects.empty() && spine.notes.reports.size() == 1; });
    spine.refusedRun();
    spine.refusedRun();
    EXPECT_NE(spine.engine->find(id), nullptr);
}

TEST(Bounds, OnlyRunsUnderWayAreCountedAndOneUserHasAQuarter) {
    Spine spine;
    spine.within({.runs = {.runs = 4, .runsPerTarget = 4, .queue = 4}});
    const RunId first = spine.startedRun();
    for (int i = 0; i < 10; ++i) {
        auto request = spine.request();
        request.caller.uid = 0;
        spine.planner.verdict = fail(Errc::Denied, "no");
        ASSERT_TRUE(spine.engine->submit(request));
        spine.untilReported(static_cast<std::size_t>(i) + 1);
    }
    spine.planner.verdict = {};
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    auto refused = spine.engine->submit(spine.request());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::LimitExceeded);
    EXPECT_NE(refused.error().message.find("uid 1000 has 2 runs"), std::string::npos) << refused.error().message;
    spine.engine->ended(report(first));
    EXPECT_TRUE(spine.engine->submit(spine.request()));
}

TEST(Bounds, ARunThatEndedIsNotStoppedWhenItsCallerLeaves) {
    Spine spine;
    spine.haveTarget();
    auto request = spine.request();
    request.lifetime = Lifetime::Caller;
    const RunId id = spine.engine->submit(request).value();
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.starts.empty(); });
    spine.launcher.starts.back().second(UniqueFd());
    spine.engine->ended(report(id));
    spine.engine->callerGone(":1.7");
    EXPECT_TRUE(spine.launcher.stops.empty());
}

}  // namespace
}  // namespace recap::test
