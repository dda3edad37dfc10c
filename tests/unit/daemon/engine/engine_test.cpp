// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fakes.hpp"

namespace recap::test {
namespace {

using testing::Test;

struct EngineTest : Test {
    Spine spine;
};

TEST_F(EngineTest, RepliesWithAnIdBeforeAnyWork) {
    spine.haveTarget();
    const auto id = spine.engine->submit(spine.request());
    ASSERT_TRUE(id);
    EXPECT_TRUE(isUlid(*id));
    EXPECT_EQ(spine.planner.asked, 0);
    EXPECT_EQ(spine.engine->find(*id)->state, RunState::Pending);
    EXPECT_EQ(spine.notes.submittedIds, std::vector<RunId>{*id});
}

TEST_F(EngineTest, ReportsAnEndOnceUnderTheIdItGaveOut) {
    const RunId id = spine.startedRun();
    spine.engine->progressed(id, {0, 0, 30, 40, 0, 0});
    EXPECT_EQ(spine.engine->find(id)->state, RunState::Running);
    spine.engine->ended(report(id, Outcome::Failed, 7));
    spine.engine->ended(report(id, Outcome::Succeeded, 0));
    spine.untilReported();
    turn(spine.loop.get());
    ASSERT_EQ(spine.notes.reports.size(), 1u);
    EXPECT_EQ(spine.notes.reports[0].id, id);
    EXPECT_EQ(spine.notes.reports[0].exitCode, 7);
    EXPECT_EQ(spine.engine->find(id)->state, RunState::Finished);
    EXPECT_EQ(spine.engine->find(id)->target, "docker:web-id");
    const Phases& phases = spine.engine->find(id)->phases;
    EXPECT_GT(phases.received, 0u);
    EXPECT_GE(phases.planned, phases.received);
    EXPECT_EQ(phases.escaped, 60u);
}

TEST_F(EngineTest, TheRowIsDurableBeforeTheReportIsTold) {
    const RunId id = spine.startedRun();
    spine.engine->ended(report(id));
    EXPECT_TRUE(spine.notes.reports.empty());
    spine.untilReported();
    const auto row = spine.ledger->find(id).value();
    ASSERT_TRUE(row);
    EXPECT_EQ(row->state, RunState::Finished);
    EXPECT_EQ(row->request.args, (std::vector<std::string>{"-c", "5"}));
    EXPECT_EQ(row->request.caller.uid, 1000u);
}

TEST_F(EngineTest, ARefusalHasItsOutcomeAndItsSentence) {
    spine.haveTarget();
    const std::vector<std::pair<Errc, Outcome>> table{{Errc::Denied, Outcome::Denied},
                                                      {Errc::NotFound, Outcome::NotStarted},
                                                      {Errc::NotAdmitted, Outcome::NotStarted},
                                                      {Errc::TargetGone, Outcome::TargetGone}};
    std::size_t reported = 0;
    for (const auto& [code, outcome] : table) {
        spine.planner.verdict = fail(code, "because of the test");
        ASSERT_TRUE(spine.engine->submit(spine.request()));
        spine.untilReported(++reported);
        EXPECT_EQ(spine.notes.reports.back().outcome, outcome);
        EXPECT_EQ(spine.notes.reports.back().error, code);
        EXPECT_EQ(spine.notes.reports.back().detail, "because of the test");
        EXPECT_FALSE(spine.engine->find(spine.notes.reports.back().id)->handedOver);
    }
    EXPECT_TRUE(spine.launcher.starts.empty());
    EXPECT_TRUE(spine.notes.startedIds.empty());
}

TEST_F(EngineTest, AStartIsToldOnceTheLauncherHasTakenIt) {
    spine.haveTarget();
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    turnUntil(spine.loop.get(), [this] { return !spine.launcher.starts.empty(); });
    EXPECT_TRUE(spine.notes.startedIds.empty());
    spine.launcher.starts.back().second(fail(Errc::Io, "/target: no"));
    spine.untilReported();
    EXPECT_TRUE(spine.notes.startedIds.empty());
    EXPECT_TRUE(spine.engine->find(spine.notes.reports.back().id)->handedOver) << "the launcher has written down that it refused";
    const RunId id = spine.startedRun();
    EXPECT_EQ(spine.notes.startedIds, std::vector<RunId>{id});
}

TEST_F(EngineTest, AnImageAdmittedMeanwhileIsNotRefused) {
    spine.haveTarget();
    spine.planner.verdict = fail(Errc::NotAdmitted, "not admitted");
    spine.onAdmissions = [this] { spine.planner.verdict = {}; };
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    turnUntil(spine.loop.get(), [this] { return !spine.launcher.starts.empty(); });
    EXPECT_EQ(spine.admissionsAsked, 1);
}

TEST_F(EngineTest, AnUnknownTargetNamesTheBackend) {
    spine.haveTarget();
    ASSERT_TRUE(spine.engine->submit(spine.request("docker:web-9")));
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::NotStarted);
    EXPECT_EQ(spine.notes.reports[0].detail, "docker: no container 'web-9'");
}

TEST_F(EngineTest, AnUnknownCapsuleIsToldBeforeItsTargetIsLookedFor) {
    auto request = spine.request("docker:web-9");
    request.capsule = "tcpdmup";
    ASSERT_TRUE(spine.engine->submit(request));
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::NotStarted);
    EXPECT_EQ(spine.notes.reports[0].detail, "no capsule 'tcpdmup'");
}

TEST_F(EngineTest, ARunWaitsForItsTargetsInspection) {
    spine.haveTarget("web-id", "web", false);
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    turn(spine.loop.get());
    EXPECT_EQ(spine.planner.asked, 0);
    spine.answerInspect();
    EXPECT_EQ(spine.planner.asked, 1);
    EXPECT_EQ(spine.launcher.starts.size(), 1u);
}

TEST_F(EngineTest, WithoutALauncherARunIsNotStartedAndSaysSo) {
    spine.haveTarget();
    spine.launcher.there = false;
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::NotStarted);
    EXPECT_EQ(spine.notes.reports[0].error, Errc::Unavailable);
    EXPECT_NE(spine.notes.reports[0].detail.find("recap-launcher"), std::string::npos);
}

TEST_F(EngineTest, WhatPolkitAllowedIsWhatIsPlanned) {
    spine.haveTarget();
    RunRequest request = spine.request();
    const std::uint64_t startTime = pinProcess(::getpid()).value().startTime;
    request.authorised = Authorisation{"docker", spine.planner.digest, 7, startTime};
    ASSERT_TRUE(spine.engine->submit(request));
    turnUntil(spine.loop.get(), [this] { return spine.launcher.starts.size() == 1; });
    for (const auto& other :
         {Authorisation{"podman", spine.planner.digest, 7}, Authorisation{"docker", "", 7},
          Authorisation{"docker", spine.planner.digest, 6}, Authorisation{"docker", spine.planner.digest, 7, startTime + 1}}) {
        request.authorised = other;
        const auto before = spine.notes.reports.size();
        ASSERT_TRUE(spine.engine->submit(request));
        spine.untilReported(before + 1);
        EXPECT_EQ(spine.notes.reports.back().outcome, Outcome::Denied);
    }
    EXPECT_EQ(spine.launcher.starts.size(), 1u);
}

// Polkit was asked about a target of which nobody knew yet that it shares its network with the host.
TEST_F(EngineTest, WhatIsInTheHostsNamespacesWasAuthorisedAsThat) {
    spine.haveTarget("web-id", "web", false);
    TargetFacts facts = Spine::facts();
    facts.hostNamespaces = 2;
    for (auto& reply : std::exchange(spine.launcher.inspects, {})) reply(facts);
    spine.planner.namespaces = 2;
    RunRequest request = spine.request();
    request.authorised = Authorisation{"docker", spine.planner.digest, 7, facts.startTime, 1};
    ASSERT_TRUE(spine.engine->submit(request));
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports.back().outcome, Outcome::Denied);
    EXPECT_TRUE(spine.launcher.starts.empty());
    request.authorised->hostNamespaces = 2;
    ASSERT_TRUE(spine.engine->submit(request));
    turnUntil(spine.loop.get(), [this] { return spine.launcher.starts.size() == 1; });
}

// An entrypoint that starts as root and execs setpriv keeps its pid; systemd moves itself into init.scope.
TEST_F(EngineTest, WhatChangedInTheTargetSinceItsInspectionIsPlannedForOnceMore) {
    for (const Errc code : {Errc::Denied, Errc::TargetGone}) {
        Spine own;
        own.haveTarget();
        ASSERT_TRUE(own.engine->submit(own.request()));
        turnUntil(own.loop.get(), [&] { return own.launcher.starts.size() == 1; });
        own.launcher.starts[0].second(fail(code, "ceiling: root-user"));
        ASSERT_EQ(own.launcher.inspects.size(), 1u);
        TargetFacts changed = Spine::facts();
        changed.uid = 1000;
        own.launcher.inspects[0](changed);
        ASSERT_EQ(own.launcher.starts.size(), 2u);
        EXPECT_EQ(own.launcher.starts[1].first.target.facts->uid, 1000u);
        own.launcher.starts[1].second(fail(code, "and still not"));
        own.untilReported();
        EXPECT_EQ(own.notes.reports[0].detail, "and still not") << "once, not for ever";
        EXPECT_TRUE(own.notes.startedIds.empty());
    }
}

TEST_F(EngineTest, ARefusalThatNothingChangedForIsNotAskedTwice) {
    spine.haveTarget();
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    turnUntil(spine.loop.get(), [this] { return spine.launcher.starts.size() == 1; });
    spine.launcher.starts[0].second(fail(Errc::Denied, "ceiling: capabilities"));
    spine.answerInspect();
    spine.untilReported();
    EXPECT_EQ(spine.launcher.starts.size(), 1u);
    EXPECT_EQ(spine.notes.reports[0].detail, "ceiling: capabilities");
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    turnUntil(spine.loop.get(), [this] { return spine.launcher.starts.size() == 2; });
    spine.launcher.starts[1].second(fail(Errc::LimitExceeded, "ceiling: max.runs"));
    spine.untilReported(2);
    EXPECT_TRUE(spine.launcher.inspects.empty()) << "not about the target";
}

TEST_F(EngineTest, StoppedWhileItsTargetIsLookedAtAgainARunIsNeverStarted) {
    const auto request = spine.request();
    spine.haveTarget();
    const RunId id = spine.engine->submit(request).value();
    turnUntil(spine.loop.get(), [this] { return spine.launcher.starts.size() == 1; });
    spine.launcher.starts[0].second(fail(Errc::Denied, "ceiling: root-user"));
    spine.engine->stop(id, std::chrono::seconds(1), [](const Result<void>& stopped) { EXPECT_TRUE(stopped); });
    TargetFacts changed = Spine::facts();
    changed.uid = 1000;
    spine.launcher.inspects.at(0)(changed);
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::Killed);
    EXPECT_EQ(spine.launcher.starts.size(), 1u);
}

TEST_F(EngineTest, StoppedBeforeItsStartARunIsNeverStarted) {
    spine.haveTarget("web-id", "web", false);
    const RunId id = spine.engine->submit(spine.request()).value();
    turn(spine.loop.get());
    spine.engine->stop(id, std::chrono::seconds(1), [](const Result<void>& stopped) { EXPECT_TRUE(stopped); });
    spine.answerInspect();
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::Killed);
    EXPECT_TRUE(spine.launcher.starts.empty());
    EXPECT_TRUE(spine.launcher.stops.empty());
}

TEST_F(EngineTest, OnlyRunsOfTheCallerThatLeftAreStopped) {
    spine.haveTarget();
    std::vector<RunId> ids;
    for (const auto& [lifetime, bus] : {std::pair{Lifetime::Caller, ":1.7"}, {Lifetime::Detached, ":1.7"}, {Lifetime::Caller, ":1.8"}}) {
        auto request = spine.request();
        request.lifetime = lifetime;
        request.caller.busName = bus;
        ids.push_back(spine.engine->submit(request).value());
    }
    turnUntil(spine.loop.get(), [this] { return spine.launcher.starts.size() == 3; });
    spine.engine->callerGone(":1.7");
    ASSERT_EQ(spine.launcher.stops.size(), 1u);
    EXPECT_EQ(spine.launcher.stops[0].first, ids[0]);
}

TEST_F(EngineTest, TheCallersPipesAreNotKeptOpen) {
    spine.haveTarget();
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    const UniqueFd reading(ends[0]);
    auto request = spine.request();
    request.stdio[1] = std::make_shared<UniqueFd>(ends[1]);
    ASSERT_TRUE(spine.engine->submit(std::move(request)));
    turnUntil(spine.loop.get(), [this] { return !spine.launcher.starts.empty(); });
    auto [plan, reply] = std::move(spine.launcher.starts.front());
    EXPECT_EQ(plan.request.stdio[1]->get(), ends[1]);
    spine.launcher.starts.clear();
    plan = {};
    reply(UniqueFd());
    char byte = 0;
    EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "a writing end is still open";
}

TEST_F(EngineTest, WhoAttachesToARunThatIsPendingWaitsForItsStart) {
    const RunId id = *spine.engine->submit(spine.request());
    int answers = 0, refusals = 0;
    const auto attach = [&] {
        spine.engine->attach(id, {true, 7}, [&](const Result<AttachedEnds>& ends) { ends ? ++answers : ++refusals; });
    };
    attach();
    spine.engine->resize(id, 24, 80, [&](const Result<void>& resized) { resized ? ++answers : ++refusals; });
    EXPECT_EQ(answers, 0);
    spine.haveTarget();
    turnUntil(spine.loop.get(), [this] { return !spine.launcher.starts.empty(); });
    EXPECT_EQ(answers, 2);
    ASSERT_EQ(spine.launcher.attaches.size(), 1u);
    EXPECT_EQ(spine.launcher.attaches[0].first, id);
    EXPECT_TRUE(spine.launcher.attaches[0].second.takeOver);
    EXPECT_EQ(spine.launcher.attaches[0].second.replay, 7u);
    ASSERT_EQ(spine.launcher.sizes.size(), 1u);
    EXPECT_EQ(spine.launcher.sizes[0].second, std::pair(24u, 80u));
    attach();
    EXPECT_EQ(answers, 3);
    RunReport report;
    report.id = id;
    spine.engine->ended(report);
    attach();
    EXPECT_EQ(refusals, 1) << "it has ended";
}

TEST_F(EngineTest, WhoWaitsForARunThatIsRefusedIsToldSo) {
    const RunId id = *spine.engine->submit(spine.request());
    std::string why;
    spine.engine->attach(id, {}, [&](const Result<AttachedEnds>& ends) { why = ends ? "attached" : ends.error().message; });
    spine.engine->stop(id, std::chrono::seconds(0), [](const Result<void>&) {});
    EXPECT_NE(why.find("has ended"), std::string::npos) << why;
    spine.engine->attach("nobody", {}, [&](const Result<AttachedEnds>& ends) { why = ends ? "attached" : ends.error().message; });
    EXPECT_NE(why.find("no run 'nobody'"), std::string::npos) << why;
}

TEST_F(EngineTest, ADetachedRunOutlivesItsCaller) {
    spine.haveTarget();
    auto request = spine.request();
    request.caller = {1000, ":1.7"};
    request.lifetime = Lifetime::Caller;
    const RunId id = *spine.engine->submit(std::move(request));
    turnUntil(spine.loop.get(), [this] { return !spine.launcher.starts.empty(); });
    ASSERT_TRUE(spine.engine->detach(id));
    spine.engine->callerGone(":1.7");
    EXPECT_TRUE(spine.launcher.stops.empty());
    EXPECT_FALSE(spine.engine->detach("nobody"));
}

TEST_F(EngineTest, TooManyArgumentsAreRefusedAtOnce) {
    auto request = spine.request();
    request.args.assign(10'000, "x");
    const auto id = spine.engine->submit(request);
    ASSERT_FALSE(id);
    EXPECT_EQ(id.error().code, Errc::InvalidArgument);
    EXPECT_TRUE(spine.notes.submittedIds.empty());
}

TEST_F(EngineTest, AnEndedTargetRefusesWhoWaitedForIt) {
    spine.haveTarget("web-id", "web", false);
    ASSERT_TRUE(spine.engine->submit(spine.request()));
    turn(spine.loop.get());
    spine.targets.removed({"docker", "web-id"});
    spine.untilReported();
    EXPECT_EQ(spine.notes.reports[0].outcome, Outcome::TargetGone);
}

TEST_F(EngineTest, ListsNewestFirstInPages) {
    spine.haveTarget();
    spine.planner.verdict = fail(Errc::Denied, "no");
    std::vector<RunId> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(spine.engine->submit(spine.request()).value());
    spine.untilReported(5);
    spine.restart();
    RunFilter filter;
    filter.limit = 2;
    std::vector<RunId> seen;
    do {
        const auto page = spine.engine->list(filter).value();
        for (const auto& run : page.runs) seen.push_back(run.id);
        filter.before = page.next;
    } while (!filter.before.empty());
    EXPECT_EQ(seen, std::vector<RunId>(ids.rbegin(), ids.rend()));
    filter.outcome = "succeeded";
    EXPECT_TRUE(spine.engine->list(filter).value().runs.empty());
    filter.outcome = "denied";
    filter.limit = 100;
    EXPECT_EQ(spine.engine->list(filter).value().runs.size(), 5u);
}

TEST_F(EngineTest, APageOfAThousandHasANextOne) {
    spine.haveTarget();
    spine.planner.verdict = fail(Errc::Denied, "no");
    auto request = spine.request();
    request.caller.uid = 0;
    for (int i = 0; i < 1002; ++i) ASSERT_TRUE(spine.engine->submit(request));
    spine.untilReported(1002);
    spine.restart();
    RunFilter filter;
    filter.limit = 1000;
    const auto page = spine.engine->list(filter).value();
    EXPECT_EQ(page.runs.size(), 1000u);
    ASSERT_EQ(page.next, page.runs.back().id);
    filter.before = page.next;
    EXPECT_EQ(spine.engine->list(filter).value().runs.size(), 2u);
}

// The ledger has them as pending still: its rows fill a page, and none of them matches any more.
TEST_F(EngineTest, APageOfRowsThatChangedMeanwhileHidesNoOlderRun) {
    spine.haveTarget();
    spine.haveTarget("old-id", "old", false);
    const RunId oldest = spine.engine->submit(spine.request("docker:old")).value();
    for (int i = 0; i < 3; ++i) spine.startedRun();
    while (spine.ledger->unfinished().value().size() < 4) sd_event_run(spine.loop.get(), 1000);
    RunFilter filter;
    filter.state = "pending";
    filter.limit = 2;
    std::vector<RunId> seen;
    do {
        const auto page = spine.engine->list(filter).value();
        for (const auto& run : page.runs) seen.push_back(run.id);
        filter.before = page.next;
    } while (!filter.before.empty());
    EXPECT_EQ(seen, std::vector<RunId>{oldest});
}

}  // namespace
}  // namespace recap::test
