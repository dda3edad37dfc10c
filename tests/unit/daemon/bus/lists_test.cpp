// SPDX-License-Identifier: Apache-2.0
// Lists, images and capsules.
#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

const std::string kReplacement = "\xef\xbf\xbd";
const std::string kRunPath = std::string("/org/recap1/run/") + kId;

using ListsTest = House;

TEST_F(ListsTest, AnImagesStrangeLabelIsListed) {
    images.image.labels["key\xff"] = "\xef\xbf\xbe";
    const auto rows = list("ListImages");
    ASSERT_EQ(rows.size(), 1u);
    const auto labels = (rows[0].at("labels").get<std::map<std::string, std::string>>());
    EXPECT_EQ(labels.at("key" + kReplacement), kReplacement);
    EXPECT_EQ(list("ListCapsules").size(), 1u);
}

TEST_F(ListsTest, ATargetsStrangeNameIsToldAndListed) {
    Values told;
    auto listener = sdbus::createProxy(*client, "org.recap1", "/org/recap1");
    listener->uponSignal("TargetAdded").onInterface(kManager).call([&](const std::string&, const Values& details) { told = details; });
    listener->finishRegistration();
    Target target;
    target.id = {"process", "1"};
    target.pid = ::getpid();
    target.name = "\xef\xb7\x90";
    targets.state({"process", "process", BackendState::Ready, "", 0});
    targets.added(target);
    turnUntil([&] { return !told.empty(); });
    EXPECT_EQ(told.at("name").get<std::string>(), kReplacement);
    const auto reply = callManager<Rows>("ListTargets", Values(), Values());
    ASSERT_EQ(reply.outcome, "ok");
    EXPECT_EQ(std::get<0>(reply.values).at(0).at("name").get<std::string>(), kReplacement);
}

TEST_F(ListsTest, ACapsuleThatIsLeftAloneSaysSo) {
    auto row = list("ListCapsules").at(0);
    EXPECT_EQ(row.at("failures").get<std::uint32_t>(), 0u);
    EXPECT_FALSE(row.contains("backed-off-until"));
    runs.capsuleHealth = {11, 1'800'000'000'000'000};
    row = list("ListCapsules").at(0);
    EXPECT_EQ(row.at("failures").get<std::uint32_t>(), 11u);
    EXPECT_EQ(row.at("backed-off-until").get<std::uint64_t>(), 1'800'000'000'000'000u);
}

TEST_F(ListsTest, RunsAreFilteredByWhatTheFilterSays) {
    const auto ask = [this](const Values& filter) { return callManager<Rows, std::string>("ListRuns", filter, Values()).outcome; };
    ASSERT_EQ(ask({}), "ok");
    EXPECT_EQ(runs.filtered.until, UINT64_MAX);
    ASSERT_EQ(ask({{"trigger", sdbus::Variant(std::string("event"))},
                   {"batch", sdbus::Variant(std::string(kId))},
                   {"since", sdbus::Variant(std::uint64_t{5})},
                   {"until", sdbus::Variant(std::uint64_t{7})}}),
              "ok");
    EXPECT_EQ(runs.filtered.trigger, "event");
    EXPECT_EQ(runs.filtered.batch, kId);
    EXPECT_EQ(runs.filtered.since, 5u);
    EXPECT_EQ(runs.filtered.until, 7u);
    EXPECT_EQ(errorName(ask({{"trigger", sdbus::Variant(std::string("whim"))}})), "org.recap1.Error.InvalidArgument");
}

TEST_F(ListsTest, AnArtifactsStrangeNameIsListed) {
    haveRun(kId);
    runs.artifactsOfAll = {{"\xff", 1, 0644}};
    const auto reply = call<Rows>(kRunPath, kRun, "ListArtifacts", Values());
    ASSERT_EQ(reply.outcome, "ok");
    EXPECT_EQ(std::get<0>(reply.values).at(0).at("name").get<std::string>(), kReplacement);
}

TEST_F(ListsTest, WhatIsThrownInALaterPartIsTheAnswer) {
    images.broken = true;
    const auto reply = callManager<Rows>("ListImages", Values());
    EXPECT_EQ(reply.outcome, "org.recap1.Error.Internal: broken inside");
}

TEST_F(ListsTest, MoreArtifactsThanAReplyCarriesAreRefused) {
    haveRun(kId);
    runs.artifactsOfAll.assign(10'000, {std::string(1000, 'x'), 1, 0644});
    EXPECT_EQ(errorName(call<Rows>(kRunPath, kRun, "ListArtifacts", Values()).outcome), "org.recap1.Error.LimitExceeded");
}

TEST_F(ListsTest, MoreRunsThanAReplyCarriesAreAnotherPage) {
    for (int i = 0; i < 20; ++i) {
        const RunId id = std::string("01ARZ3NDEKTSV4RRFFQ69G5F") + static_cast<char>('A' + i) + "0";
        runs.runs[id].id = id;
        runs.runs[id].report.detail = std::string(1 << 20, 'x');
    }
    Values options;
    std::size_t count = 0;
    for (int page = 0; page < 5; ++page) {
        const auto reply = callManager<Rows, std::string>("ListRuns", Values(), options);
        ASSERT_EQ(reply.outcome, "ok");
        count += std::get<0>(reply.values).size();
        const auto& next = std::get<1>(reply.values);
        if (next.empty()) break;
        options["before"] = sdbus::Variant(next);
    }
    EXPECT_EQ(count, 20u);
}

TEST_F(ListsTest, TheLauncherIsAskedOnceAtATime) {
    std::vector<std::shared_ptr<Reply<Rows>>> replies;
    for (int i = 0; i < 20; ++i)
        replies.push_back(ask<Rows>("/org/recap1", kManager, i % 2 == 0 ? "ListImages" : "ListCapsules", Values()));
    auto marker = ask<Rows>("/org/recap1", kManager, "ListPolicies", Values());  // answered at once, after the others were heard
    turnUntil([&] { return !marker->outcome.empty(); }, false);
    EXPECT_EQ(launcher.imagesAsked.size(), 1u);
    std::exchange(launcher.imagesAsked, {})[0](std::vector<AdmissionState>());
    EXPECT_EQ(launcher.imagesAsked.size(), 1u);
    turnUntil([&] { return std::all_of(replies.begin(), replies.end(), [](const auto& reply) { return reply->outcome == "ok"; }); });
    EXPECT_TRUE(launcher.imagesAsked.empty());
}

TEST_F(ListsTest, AnImportIsNamedBeforeItIsUnpacked) {
    const Values options{{"reference", sdbus::Variant(std::string("Bad Name"))}};
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const UniqueFd reading(ends[0]), writing(ends[1]);
    EXPECT_EQ(errorName(callManager<std::string>("ImportImage", sdbus::UnixFd(ends[0]), options).outcome),
              "org.recap1.Error.InvalidArgument");
    EXPECT_EQ(launcher.imports, 0);
}

TEST_F(ListsTest, AnImageThatOnlyTheLauncherKnowsIsRemovedByItsDigest) {
    const std::string digest(64, 'b');
    EXPECT_EQ(callManager<>("RemoveImage", digest, Values()).outcome, "ok");
    EXPECT_EQ(callManager<>("RemoveImage", "sha256:" + digest, Values()).outcome, "ok");
    EXPECT_EQ(launcher.removed, std::vector<std::string>(2, digest));
    EXPECT_EQ(errorName(callManager<>("RemoveImage", std::string(12, 'b'), Values()).outcome), "org.recap1.Error.NotFound");
    EXPECT_EQ(launcher.removed.size(), 2u);
}

TEST_F(ListsTest, OneTurnTakesAFewMessages) {
    constexpr int kMany = 100;
    std::vector<std::shared_ptr<Reply<Rows>>> replies;
    for (int i = 0; i < kMany; ++i) replies.push_back(ask<Rows>("/org/recap1", kManager, "ListPolicies", Values()));
    // The bus answers in order: then it has handed over all of them.
    auto driver = sdbus::createProxy(*client, "org.freedesktop.DBus", "/org/freedesktop/DBus");
    std::string id;
    driver->callMethodAsync("GetId").onInterface("org.freedesktop.DBus").uponReplyInvoke([&](const sdbus::Error*, const std::string& got) {
        id = got;
    });
    for (const Deadline deadline(kPatience); id.empty() && !deadline.passed();) client->processPendingRequest();
    int most = 0;
    for (const Deadline deadline(kPatience); policies.listed < kMany && !deadline.passed();) {
        const int before = policies.listed;
        sd_event_run(loop.get(), 100'000);
        most = std::max(most, policies.listed - before);
    }
    EXPECT_EQ(policies.listed, kMany);
    EXPECT_LE(most, 16);
}

TEST_F(ListsTest, ObjectsGoWhenTheBusHasGone) {
    targets.state({"process", "process", BackendState::Ready, "", 0});
    turn();
    daemon.kill();
    for (int i = 0; i < 5 && sd_event_get_state(loop.get()) != SD_EVENT_FINISHED; ++i) sd_event_run(loop.get(), 10'000);
    service.reset();
}

}  // namespace
}  // namespace recap::test
