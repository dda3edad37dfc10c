// SPDX-License-Identifier: Apache-2.0
#include "fakes.hpp"

namespace recap::test {
namespace {

LaunchedRun launched(const RunId& id, bool finished) { return {id, "tcpdump", "docker:web-id", finished, report(id, Outcome::Failed, 3)}; }

TEST(Adoption, ARunningRunGoesOnUnderANewRecapd) {
    Spine spine;
    const RunId id = spine.startedRun();
    spine.restart();
    spine.engine->connected();
    spine.launcher.lists.back()({{launched(id, false)}});
    ASSERT_NE(spine.engine->find(id), nullptr);
    EXPECT_EQ(spine.engine->find(id)->state, RunState::Running);
    EXPECT_TRUE(spine.engine->find(id)->handedOver);
    EXPECT_EQ(spine.engine->find(id)->request.args, (std::vector<std::string>{"-c", "5"}));
    spine.launcher.logs.back()(memory(frame(1, "kept")));
    EXPECT_EQ(spine.engine->output(id, Stream::Stdout, 0, 10).value().data.size(), 4u);
    spine.engine->ended(report(id));
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::Succeeded);
}

TEST(Adoption, ARunThatWasDetachedOutlivesItsCallerUnderTheNextDaemonToo) {
    Spine spine;
    spine.haveTarget();
    auto request = spine.request();
    request.caller = {1000, ":1.7"};
    request.lifetime = Lifetime::Caller;
    const RunId id = *spine.engine->submit(std::move(request));
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.starts.empty(); });
    ASSERT_TRUE(spine.engine->detach(id));
    spine.restart();
    spine.engine->connected();
    auto running = launched(id, false);
    running.boundTo = ":1.7";  // which the launcher is not told anew
    spine.launcher.lists.back()({{running}});
    EXPECT_EQ(spine.engine->find(id)->request.lifetime, Lifetime::Detached);
    spine.engine->callerGone(":1.7");
    EXPECT_TRUE(spine.launcher.stops.empty());
}

TEST(Adoption, WhoseARunIsIsKept) {
    Spine spine;
    spine.planner.tenant = "shop";
    const RunId id = spine.startedRun();
    EXPECT_EQ(spine.engine->find(id)->tenant, "shop");
    spine.restart();
    spine.engine->connected();
    spine.launcher.lists.back()({{launched(id, false)}});
    EXPECT_EQ(spine.engine->find(id)->tenant, "shop");
}

TEST(Adoption, ThatTheTargetMayTraceARunIsKept) {
    Spine spine;
    const RunId apart = spine.startedRun();
    spine.planner.processes = Processes::Join;  // as uid 0, which is the target's
    const RunId traced = spine.startedRun();
    EXPECT_FALSE(spine.engine->find(apart)->untrusted);
    EXPECT_TRUE(spine.engine->find(traced)->untrusted);
    spine.restart();
    spine.engine->connected();
    spine.launcher.lists.back()({{launched(apart, true), launched(traced, true)}});
    for (auto& reply : std::exchange(spine.launcher.logs, {})) reply(memory(""));
    spine.untilReported(2);
    EXPECT_FALSE(spine.ledger->find(apart).value()->untrusted);
    EXPECT_TRUE(spine.ledger->find(traced).value()->untrusted);
}

TEST(Adoption, ARunThatEndedMeanwhileIsReportedWithItsOutput) {
    Spine spine;
    const RunId id = spine.startedRun();
    spine.restart();
    spine.engine->connected();
    auto ended = launched(id, true);
    ended.report.logBytes = 4;
    spine.launcher.lists.back()({{ended}});
    spine.launcher.logs.back()(memory(frame(1, "kept")));
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].exitCode, 3);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    EXPECT_EQ(spine.engine->output(id, Stream::Stdout, 0, 10).value().data.size(), 4u);
}

TEST(Adoption, WhatTheLauncherDoesNotKnowIsLost) {
    Spine spine;
    const RunId id = spine.startedRun();
    spine.restart();
    spine.engine->connected();
    spine.launcher.lists.back()(std::vector<LaunchedRun>());
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].id, id);
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::Lost);
    EXPECT_EQ(spine.ledger->find(id).value()->report.outcome, Outcome::Lost);
}

TEST(Adoption, ARunHandedOverWhileTheListWasOnItsWayIsNotLost) {
    Spine spine;
    spine.haveTarget();
    spine.engine->connected();
    const RunId id = spine.startedRun();
    spine.launcher.lists.back()(std::vector<LaunchedRun>());
    turn(spine.loop.get());
    EXPECT_FALSE(spine.engine->find(id)->state == RunState::Finished);
}

TEST(Adoption, ALauncherThatCameBackEmptyHasLostItsRuns) {
    Spine spine;
    const RunId id = spine.startedRun();
    spine.engine->disconnected({Errc::Unavailable, "gone"});
    spine.engine->connected();
    spine.launcher.lists.back()(std::vector<LaunchedRun>());
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].id, id);
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::Lost);
}

TEST(Adoption, ACapsuleWhoseStartSeemedToFailIsStoppedAndForgotten) {
    Spine spine;
    spine.haveTarget();
    const RunId id = spine.engine->submit(spine.request()).value();
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.starts.empty(); });
    spine.launcher.starts.back().second(fail(Errc::Unavailable, "connection lost"));
    spine.untilReported();
    spine.engine->connected();
    spine.launcher.lists.back()({{launched(id, false)}});
    ASSERT_EQ(spine.launcher.stops.size(), 1u);
    EXPECT_EQ(spine.launcher.stops[0].second.count(), 0);
    spine.engine->ended(report(id, Outcome::Killed));
    EXPECT_EQ(spine.launcher.acks, std::vector<RunId>{id});
    EXPECT_EQ(spine.notes.reports.size(), 1u);
}

TEST(Adoption, ARunTheLedgerDoesNotKnowIsNotHidden) {
    Spine spine;
    const RunId id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    spine.engine->connected();
    spine.launcher.lists.back()({{launched(id, false)}});
    ASSERT_NE(spine.engine->find(id), nullptr);
    EXPECT_EQ(spine.engine->find(id)->request.capsule, "tcpdump");
}

TEST(Adoption, ARunKeepsItsOwner) {
    Spine spine;
    const RunId id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    spine.engine->connected();
    auto running = launched(id, false);
    running.callerUid = 1234;
    spine.launcher.lists.back()({{running}});
    EXPECT_EQ(spine.engine->find(id)->request.caller.uid, 1234u);
}

// recapd may be lost before the ledger has the run: an intent waits for company.
TEST(Adoption, ARunThatTheLedgerDoesNotKnowEndsWithItsCallerAllTheSame) {
    Spine spine;
    const RunId bound = "01ARZ3NDEKTSV4RRFFQ69G5FAV", detached = "01ARZ3NDEKTSV4RRFFQ69G5FAW";
    spine.engine->connected();
    auto running = launched(bound, false);
    running.boundTo = ":1.7";
    spine.launcher.lists.back()({{running, launched(detached, false)}});
    EXPECT_EQ(spine.engine->find(bound)->request.lifetime, Lifetime::Caller);
    EXPECT_EQ(spine.engine->find(detached)->request.lifetime, Lifetime::Detached);
    spine.engine->callerGone(":1.7");
    ASSERT_EQ(spine.launcher.stops.size(), 1u);
    EXPECT_EQ(spine.launcher.stops[0].first, bound);
}

TEST(Adoption, ARunThatEndsBetweenTwoPagesOfTheListIsNotRunningForEver) {
    Spine spine;
    const RunId id = spine.startedRun();
    spine.restart();
    spine.engine->connected();
    spine.engine->ended(report(id, Outcome::Failed, 5));  // the list's first page, with the run in it, is on its way
    spine.launcher.lists.back()({{launched(id, false)}});
    spine.launcher.logs.back()(UniqueFd());
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].exitCode, 5);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
}

TEST(Adoption, RunsThatEndedJustBeforeARestartAreObjectsAgain) {
    Spine spine;
    const RunId id = spine.startedRun(memory(frame(1, "kept")));
    auto ended = report(id, Outcome::Failed, 9);
    ended.logBytes = 4;
    spine.engine->ended(ended);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    spine.restart();
    ASSERT_TRUE(spine.engine->restore());
    ASSERT_NE(spine.engine->find(id), nullptr);
    EXPECT_EQ(spine.engine->find(id)->state, RunState::Finished);
    EXPECT_EQ(spine.engine->find(id)->report.exitCode, 9);
    EXPECT_EQ(spine.engine->output(id, Stream::Stdout, 0, 10).value().data.size(), 4u);
}

// A batch of four, and recapd killed in the middle of it.
TEST(Adoption, OfWhatWasExpectedEachHasItsRowAndOne) {
    Spine spine;
    spine.haveTarget();
    bool durable = false;
    const std::vector<std::string> targets{"docker:web-id", "docker:b", "docker:c", "docker:d"};
    const auto ids = spine.engine->expect(spine.request(), targets, [&](const Result<void>& written) { durable = written.has_value(); });
    ASSERT_EQ(ids.value().size(), 4u);
    turnUntil(spine.loop.get(), [&] { return durable; });
    const auto expected = [&](std::size_t which) {
        RunRequest request = spine.request(targets[which]);
        request.expected = ids->at(which);
        return request;
    };
    EXPECT_EQ(spine.engine->submit(expected(0)).value(), ids->at(0));
    EXPECT_EQ(spine.engine->leaveOut(expected(1), Outcome::Denied, "not there").value(), ids->at(1));
    EXPECT_EQ(spine.engine->submit(expected(2)).value(), ids->at(2));
    turnUntil(spine.loop.get(), [&] { return spine.launcher.starts.size() == 1 && spine.notes.reports.size() == 2; });
    spine.restart();
    ASSERT_TRUE(spine.engine->restore());
    spine.engine->connected();
    spine.launcher.lists.back()({{launched(ids->at(0), false)}});
    spine.launcher.logs.back()(UniqueFd());
    spine.engine->ended(report(ids->at(0)));
    spine.untilReported(2);
    EXPECT_EQ(spine.engine->list({}).value().runs.size(), 4u);
    const auto row = [&](std::size_t which) { return spine.ledger->find(ids->at(which)).value().value(); };
    EXPECT_EQ(row(0).report.outcome, Outcome::Succeeded);
    EXPECT_EQ(row(1).report.outcome, Outcome::Denied);
    EXPECT_EQ(row(1).report.detail, "not there");
    EXPECT_EQ(row(2).report.outcome, Outcome::NotStarted) << "there is no such target";
    EXPECT_EQ(row(3).report.outcome, Outcome::Lost);
    EXPECT_EQ(row(3).target, "docker:d");
    EXPECT_TRUE(spine.ledger->unfinished().value().empty());
}

TEST(Adoption, WhatIsExpectedWhileTheLauncherIsAwayIsNotLost) {
    Spine spine;
    spine.haveTarget();
    bool durable = false;
    const auto ids = spine.engine->expect(spine.request(), {"docker:web-id"}, [&](const Result<void>&) { durable = true; });
    turnUntil(spine.loop.get(), [&] { return durable; });
    spine.engine->connected();
    spine.launcher.lists.back()(std::vector<LaunchedRun>());
    EXPECT_EQ(spine.engine->find(ids->at(0)), nullptr);
    RunRequest request = spine.request();
    request.expected = ids->at(0);
    EXPECT_EQ(spine.engine->submit(request).value(), ids->at(0));
    turnUntil(spine.loop.get(), [&] { return spine.launcher.starts.size() == 1; });
}

}  // namespace
}  // namespace recap::test
