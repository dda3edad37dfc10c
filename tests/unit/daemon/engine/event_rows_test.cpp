// SPDX-License-Identifier: Apache-2.0
// What the rows tell the next recapd of the events that this one has heard.
#include <gmock/gmock.h>

#include "fakes.hpp"

namespace recap::test {
namespace {

using testing::ElementsAre;

struct EventRows : testing::Test {
    Spine spine;

    // A row of that capsule that has ended, and for which run, if it is of a chain.
    RunId row(const std::string& capsule, const std::string& target, Outcome outcome, const RunId& cause = {}) {
        RunRequest request = spine.request(target);
        request.capsule = capsule;
        if (!cause.empty()) request.occurrence = std::make_shared<const Occurrence>(Occurrence{"run-finished", 1, cause, {}});
        const auto before = spine.notes.reports.size();
        const RunId id = spine.engine->leaveOut(std::move(request), outcome, "as it was").value();
        spine.untilReported(before + 1);
        return id;
    }
    std::vector<RunId> unchained(std::uint64_t since = 0, std::uint64_t until = microseconds(CLOCK_REALTIME), std::uint32_t limit = 100) {
        std::vector<RunId> ids;
        const auto ended = spine.engine->unchained("scan", "archive", since, until, limit);
        for (const auto& run : ended.value()) ids.push_back(run.id);
        return ids;
    }
};

TEST_F(EventRows, AnEventIsFoundByItsCapsuleKindAndCause) {
    const std::uint64_t before = microseconds(CLOCK_REALTIME);
    row("archive", "docker:web", Outcome::Skipped, "the cause");
    const auto acted = [&](const std::string& capsule, const std::string& on, const std::string& cause, std::uint64_t since) {
        return spine.engine->actedOn(capsule, {on, 1, cause, {}}, since).value();
    };
    const auto check = [&] {
        EXPECT_TRUE(acted("archive", "run-finished", "the cause", before));
        EXPECT_FALSE(acted("scan", "run-finished", "the cause", before));
        EXPECT_FALSE(acted("archive", "target-start", "the cause", before));
        EXPECT_FALSE(acted("archive", "run-finished", "another", before));
    };
    check();
    spine.restart();  // the ledger's rows alone
    check();
    EXPECT_FALSE(acted("archive", "run-finished", "the cause", microseconds(CLOCK_REALTIME))) << "the same start time, of a boot before";
}

TEST_F(EventRows, MoreThanAPageOfLaterRowsHidesNothing) {
    const RunId first = row("scan", "docker:web", Outcome::Succeeded);
    row("archive", "docker:web", Outcome::Succeeded, first);
    RunRequest request = spine.request();
    request.capsule = "archive";
    for (int i = 0; i < 1500; ++i) ASSERT_TRUE(spine.engine->skip(request, "busy"));
    spine.untilReported(1502);
    spine.restart();
    EXPECT_TRUE(spine.engine->actedOn("archive", {"run-finished", 1, first, {}}, 0).value());
    EXPECT_THAT(unchained(), ElementsAre());
}

TEST_F(EventRows, RunsThatNoChainStandsForAreFoundByTheirEnd) {
    const RunId other = row("scan", "docker:db", Outcome::Failed);
    const RunId first = row("scan", "docker:web", Outcome::Succeeded);
    const std::uint64_t then = microseconds(CLOCK_REALTIME);
    const RunId second = row("scan", "docker:web", Outcome::Succeeded);
    EXPECT_THAT(unchained(), ElementsAre(other, first, second));
    EXPECT_THAT(unchained(then), ElementsAre(second));
    EXPECT_THAT(unchained(0, then), ElementsAre(other, first));
    EXPECT_THAT(unchained(0, then, 1), ElementsAre(other));
    row("archive", "docker:web", Outcome::Succeeded, first);
    EXPECT_THAT(unchained(), ElementsAre(other, second));
    const auto ended = spine.engine->unchained("scan", "archive", 0, then, 1).value();
    EXPECT_EQ(ended.at(0).target, "docker:db");
    EXPECT_EQ(ended.at(0).outcome, Outcome::Failed);
}

// Those that were cut are one row, which names the last of them.
TEST_F(EventRows, WhatWasCutStandsForAllOfThatTargetBefore) {
    const RunId other = row("scan", "docker:db", Outcome::Succeeded);
    row("scan", "docker:web", Outcome::Succeeded);
    row("scan", "docker:web", Outcome::Succeeded);
    const RunId last = row("scan", "docker:web", Outcome::Succeeded);
    row("archive", "docker:web", Outcome::Skipped, last);
    const RunId later = row("scan", "docker:web", Outcome::Succeeded);
    EXPECT_THAT(unchained(), ElementsAre(other, later));
}

TEST_F(EventRows, TheLastEndIsThatOfTheRecapdOfBefore) {
    const std::uint64_t before = microseconds(CLOCK_REALTIME);
    EXPECT_EQ(spine.engine->lastEnd(), 0u);
    row("scan", "docker:web", Outcome::Succeeded);
    spine.restart();
    ASSERT_TRUE(spine.engine->restore());
    const std::uint64_t last = spine.engine->lastEnd();
    EXPECT_GE(last, before);
    row("scan", "docker:web", Outcome::Succeeded);
    EXPECT_EQ(spine.engine->lastEnd(), last);
}

}  // namespace
}  // namespace recap::test
