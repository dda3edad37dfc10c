// SPDX-License-Identifier: Apache-2.0
// Batches: what is asked of whom before one starts, and what is told of it.
#include <gmock/gmock.h>

#include "tests/unit/daemon/bus/asking.hpp"

namespace recap::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Names = std::vector<std::string>;
using Verdict = FakePolkit::Verdict;

constexpr const char* kBatch = "org.recap1.Batch";
const BatchId kBatchId = "01ARZ3NDEKTSV4RRFFQ69G5FBB";
const std::string kBatchPath = "/org/recap1/batch/" + kBatchId;

sdbus::Variant text(const std::string& word) { return sdbus::Variant(word); }

struct BatchesTest : House {
    BatchesTest() { match({"web", "db", "cache"}); }
    void match(const Names& ids) {
        batches.matching.clear();
        for (const auto& id : ids) {
            batches.matching.emplace_back();
            batches.matching.back().id = {"docker", id};
            batches.matching.back().name = id;
        }
    }
    std::string runSelected(const Values& selector, const Values& options = {}) {
        const auto reply = callManager<sdbus::ObjectPath>("RunSelected", std::string("tool"), selector, Names{"-x"}, options);
        return reply.outcome == "ok" ? std::get<0>(reply.values) : reply.outcome;
    }
    static Asking::Ask asUser(const Values& options = {}) {
        return [=](sdbus::IConnection& bus, const Asking::Say& say) {
            auto* proxy = sdbus::createProxy(bus, "org.recap1", "/org/recap1").release();
            proxy->callMethodAsync("RunSelected")
                .onInterface(kManager)
                .withArguments(std::string("tool"), Values(), Names(), options)
                .uponReplyInvoke([say](const sdbus::Error* error, const sdbus::ObjectPath&) { say(error); });
        };
    }
    // Polkit says no for these targets, yes for all others.
    void answer(const Names& denied = {}) {
        for (; answered < polkit.questions.size(); ++answered) {
            auto& question = polkit.questions[answered];
            const bool no = std::ranges::find(denied, question.details.at("target")) != denied.end();
            question.answer.returnResults(Verdict{!no, false, {}});
        }
    }
    void answerUntilSaid(Asking& asking, const Names& denied = {}) {
        turnUntil([&] {
            answer(denied);
            return !asking.said().empty();
        });
    }
    BatchRecord& haveBatch(std::uint32_t uid, const std::vector<RunState>& states) {
        BatchRecord& batch = batches.batches[kBatchId];
        batch.id = kBatchId;
        batch.capsule = "tool";
        batch.caller.uid = uid;
        for (std::size_t i = 0; i < states.size(); ++i) {
            auto& row = batch.rows.emplace_back();
            row.target = {"docker", "t" + std::to_string(i)};
            row.state = states[i];
            row.outcome = Outcome::Succeeded;
        }
        service->batchStarted(kBatchId);
        turn();
        return batch;
    }
    std::size_t answered = 0;
};

TEST_F(BatchesTest, WhatIsSelectedIsReadAndHandedOn) {
    const std::string path = runSelected({{"labels", text("app=web,!old")},
                                          {"backends", sdbus::Variant(Names{"docker", "podman"})},
                                          {"name", text("w*")},
                                          {"image", text("nginx:*")},
                                          {"mode", text("percent:10")}},
                                         {{"parallel", sdbus::Variant(std::uint32_t{3})},
                                          {"lifetime", text("caller")},
                                          {"view", text("none")},
                                          {"timeout", sdbus::Variant(std::uint64_t{5000})}});
    EXPECT_EQ(path, kBatchPath);
    ASSERT_THAT(batches.asked, SizeIs(1));
    const Selection& asked = batches.asked[0];
    EXPECT_EQ(asked.labels, parseLabels("app=web,!old").value());
    EXPECT_EQ(asked.backends, (Names{"docker", "podman"}));
    EXPECT_EQ(asked.name + " " + asked.image, "w* nginx:*");
    EXPECT_EQ(asked.mode, SelectionMode::Percent);
    ASSERT_THAT(batches.started, SizeIs(1));
    const auto& started = batches.started[0];
    EXPECT_EQ(started.selection.parallel, 3u);
    EXPECT_EQ(started.run.args, Names{"-x"});
    EXPECT_EQ(started.run.lifetime, Lifetime::Caller);
    EXPECT_EQ(started.run.adjustments.view, "none");
    EXPECT_EQ(started.run.timeout.count(), 5000);
    EXPECT_EQ(started.run.caller.busName, client->getUniqueName());
    ASSERT_THAT(*started.targets, SizeIs(3));
    for (const auto& target : *started.targets) EXPECT_FALSE(*target.allowed) << "root is not asked about";
    EXPECT_THAT(polkit.questions, IsEmpty());
}

TEST_F(BatchesTest, WhatIsWrongIsRefusedByName) {
    const std::pair<Values, const char*> selectors[] = {
        {{{"label", text("a=b")}}, "selector key 'label'"},
        {{{"labels", text("a b")}}, "'a b'"},
        {{{"mode", text("some")}}, "'some'"},
        {{{"backends", text("docker")}}, "'backends'"},
        {{{"name", text(std::string(513, 'x'))}}, "'name'"},
    };
    for (const auto& [selector, word] : selectors) {
        const std::string refused = runSelected(selector);
        EXPECT_EQ(errorName(refused), "org.recap1.Error.InvalidArgument");
        EXPECT_THAT(refused, HasSubstr(word));
    }
    EXPECT_THAT(runSelected({}, {{"paralel", sdbus::Variant(1u)}}), HasSubstr("'paralel'"));
    EXPECT_THAT(runSelected({}, {{"parallel", sdbus::Variant(0u)}}), HasSubstr("parallel 0"));
    EXPECT_THAT(runSelected({}, {{"stdin", text("x")}}), HasSubstr("'stdin'")) << "there is one stdin and many runs";
    match({});
    EXPECT_EQ(errorName(runSelected({})), "org.recap1.Error.NotFound");
    EXPECT_THAT(batches.started, IsEmpty());
}

TEST_F(BatchesTest, EachTargetIsAskedAboutAsRunWould) {
    Asking asking(asUser());
    answerUntilSaid(asking, {"docker:db"});
    EXPECT_EQ(asking.said()[0], "ok");
    Names asked;
    for (const auto& question : polkit.questions) {
        EXPECT_EQ(question.action, "org.recap1.run");
        EXPECT_EQ(question.details.at("verb"), "Run");
        EXPECT_EQ(question.details.at("digest"), images.image.digest);
        asked.push_back(question.details.at("target"));
    }
    EXPECT_THAT(asked, ElementsAre("docker:web", "docker:db", "docker:cache"));
    ASSERT_THAT(batches.started, SizeIs(1));
    const auto& allowed = *batches.started[0].targets;
    EXPECT_EQ((*allowed[0].allowed)->backend, "docker");
    EXPECT_EQ((*allowed[0].allowed)->digest, images.image.digest);
    ASSERT_FALSE(allowed[1].allowed);
    EXPECT_EQ(allowed[1].allowed.error().code, Errc::AccessDenied);
    EXPECT_THAT(allowed[1].allowed.error().message, HasSubstr("docker:db"));
    EXPECT_TRUE(allowed[2].allowed);
    EXPECT_EQ(batches.started[0].run.caller.uid, 65534u);
}

TEST_F(BatchesTest, WhereAllIsDeniedThereIsNoBatch) {
    Asking asking(asUser());
    answerUntilSaid(asking, {"docker:web", "docker:db", "docker:cache"});
    EXPECT_EQ(errorName(asking.said()[0]), "org.recap1.Error.AccessDenied");
    EXPECT_THAT(asking.said()[0], HasSubstr("any of the 2 others"));
    EXPECT_THAT(batches.started, IsEmpty());
}

TEST_F(BatchesTest, FewQuestionsAtATimeAndOneOfAHuman) {
    Asking asking(asUser());
    turnUntil([&] { return polkit.questions.size() == 2; });
    Asking human(asUser({{"interactive", sdbus::Variant(true)}}));
    turnUntil([&] { return polkit.questions.size() == 3; });
    for (int i = 0; i < 5; ++i) callManager<Rows>("ListTargets", Values(), Values());
    EXPECT_THAT(polkit.questions, SizeIs(3)) << "none of the others before one is answered";
    answerUntilSaid(asking);
    answerUntilSaid(human);
    EXPECT_THAT(polkit.questions, SizeIs(6));
    EXPECT_THAT(batches.started, SizeIs(2));
}

TEST_F(BatchesTest, WhoLeavesWhileBeingAskedAboutStartsNothing) {
    Asking asking(asUser());
    turnUntil([&] { return polkit.questions.size() == 2; });
    asking.leave();
    turnUntil([&] { return polkit.cancelled.size() == 2; });
    turnUntil([&] { return !batches.gone.empty(); });
    answer();
    for (int i = 0; i < 5; ++i) callManager<Rows>("ListTargets", Values(), Values());
    EXPECT_THAT(polkit.questions, SizeIs(2));
    EXPECT_THAT(batches.started, IsEmpty());
}

TEST_F(BatchesTest, WhatPolkitDoesNotAnswerIsNoRefusalOfOneTarget) {
    polkit.mood = FakePolkit::Mood::Broken;
    Asking asking(asUser());
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(errorName(asking.said()[0]), "org.recap1.Error.Unavailable") << asking.said()[0];
    EXPECT_THAT(batches.started, IsEmpty());
}

TEST_F(BatchesTest, AnotherTenantsTargetsAreNotSelected) {
    tenants = Tenants({{"shop", "docker", "", {}}}, {{65534u, {}, {"shop"}}});
    batches.matching[0].tenant = "shop";
    batches.matching[1].tenant = "bank";
    Asking asking(asUser());
    answerUntilSaid(asking);
    EXPECT_EQ(asking.said()[0], "ok");
    ASSERT_THAT(batches.started, SizeIs(1));
    ASSERT_THAT(*batches.started[0].targets, SizeIs(1));
    EXPECT_EQ(batches.started[0].targets->at(0).target.id, "web");
    EXPECT_EQ(runSelected({}), kBatchPath);
    EXPECT_THAT(*batches.started[1].targets, SizeIs(3)) << "root's";
}

TEST_F(BatchesTest, ItsObjectTellsOfItFromBeginningToEnd) {
    BatchRecord& batch = haveBatch(0, {RunState::Running, RunState::Pending});
    Values told;
    std::map<std::string, std::uint32_t> changed, ended;
    std::string state;
    auto object = sdbus::createProxy(*client, "org.recap1", kBatchPath);
    object->uponSignal("TargetFinished").onInterface(kBatch).call([&](const std::string&, const Values& result) { told = result; });
    object->uponSignal("PropertiesChanged")
        .onInterface("org.freedesktop.DBus.Properties")
        .call([&](const std::string&, const Values& now, const Names&) {
            changed = now.at("Counts").get<std::map<std::string, std::uint32_t>>();
            state = now.at("State").get<std::string>();
        });
    object->finishRegistration();
    auto manager = sdbus::createProxy(*client, "org.recap1", "/org/recap1");
    manager->uponSignal("BatchFinished")
        .onInterface(kManager)
        .call([&](const sdbus::ObjectPath& path, const std::map<std::string, std::uint32_t>& counts) {
            EXPECT_EQ(path, kBatchPath);
            ended = counts;
        });
    manager->finishRegistration();
    service->batchChanged(kBatchId);
    turnUntil([&] { return !changed.empty(); });
    EXPECT_EQ(changed, (std::map<std::string, std::uint32_t>{{"pending", 1}, {"running", 1}}));
    batch.rows[1].state = RunState::Finished;
    batch.rows[1].detail = "\xff";
    service->batchRowFinished(kBatchId, batch.rows[1]);
    turnUntil([&] { return !told.empty(); });
    EXPECT_EQ(told.at("outcome").get<std::string>(), "succeeded");
    EXPECT_EQ(told.at("detail").get<std::string>(), "\xef\xbf\xbd");
    batch.rows[0].state = RunState::Finished;
    batch.state = BatchState::Finished;
    service->batchFinished(kBatchId);
    turnUntil([&] { return !ended.empty(); });
    EXPECT_EQ(state, "finished");
    EXPECT_EQ(ended, (std::map<std::string, std::uint32_t>{{"finished", 2}, {"succeeded", 2}}));
    service->batchExpired(kBatchId);
    EXPECT_NE(call<Rows>(kBatchPath, kBatch, "GetResults", Values()).outcome, "ok");
}

TEST_F(BatchesTest, ResultsComeInPages) {
    haveBatch(0, {RunState::Finished, RunState::Running, RunState::Pending});
    const auto page = [&](std::uint32_t from, std::uint32_t limit) {
        const auto reply =
            call<Rows>(kBatchPath, kBatch, "GetResults", Values{{"from", sdbus::Variant(from)}, {"limit", sdbus::Variant(limit)}});
        EXPECT_EQ(reply.outcome, "ok");
        Names words;
        for (const auto& row : std::get<0>(reply.values))
            words.push_back(row.at("target").get<std::string>() + " " + row.at("state").get<std::string>() + " " +
                            row.at("outcome").get<std::string>());
        return words;
    };
    EXPECT_THAT(page(0, 2), ElementsAre("docker:t0 finished succeeded", "docker:t1 running "));
    EXPECT_THAT(page(2, 2), ElementsAre("docker:t2 pending "));
    EXPECT_THAT(page(3, 2), IsEmpty());
    EXPECT_THAT(page(4'000'000'000u, 4'000'000'000u), IsEmpty());
}

Asking::Ask stop() {
    return [](sdbus::IConnection& bus, const Asking::Say& say) {
        auto* proxy = sdbus::createProxy(bus, "org.recap1", kBatchPath).release();
        proxy->callMethodAsync("Stop")
            .onInterface(kBatch)
            .withArguments(std::uint32_t{3}, Values())
            .uponReplyInvoke([say](const sdbus::Error* error) { say(error); });
    };
}

TEST_F(BatchesTest, WhoStartedItStopsIt) {
    haveBatch(65534, {RunState::Running});
    Asking asking(stop());
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(asking.said()[0], "ok");
    EXPECT_THAT(batches.stopped, ElementsAre(std::pair(kBatchId, std::chrono::microseconds(3'000'000))));
    EXPECT_THAT(polkit.questions, IsEmpty());
}

TEST_F(BatchesTest, SomebodyElseNeedsTheRightToEachTargetThatItGoesOnAt) {
    haveBatch(1234, {RunState::Running, RunState::Finished, RunState::Pending});
    Asking refused(stop());
    answerUntilSaid(refused, {"docker:t2"});
    EXPECT_EQ(errorName(refused.said()[0]), "org.recap1.Error.AccessDenied");
    EXPECT_THAT(batches.stopped, IsEmpty());
    EXPECT_THAT(polkit.questions, SizeIs(2)) << "not about the one that is over";
    Asking allowed(stop());
    answerUntilSaid(allowed);
    EXPECT_EQ(allowed.said()[0], "ok");
    EXPECT_THAT(batches.stopped, SizeIs(1));
}

TEST_F(BatchesTest, AnotherTenantsBatchIsNobodyElses) {
    haveBatch(1234, {RunState::Running});
    tenants = Tenants({{"bank", "docker", "", {}}}, {{65534u, {}, {"shop"}}});
    Asking asking(stop());
    answerUntilSaid(asking);
    EXPECT_NE(asking.said()[0], "ok");
    EXPECT_THAT(batches.stopped, IsEmpty());
}

TEST_F(BatchesTest, ACallerThatLeavesIsNoticed) {
    auto caller = sdbus::createSystemBusConnection();
    const std::string name = caller->getUniqueName();
    caller.reset();
    turnUntil([&] { return !batches.gone.empty(); });
    EXPECT_EQ(batches.gone, Names{name});
}

}  // namespace
}  // namespace recap::test
