// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/event_lines.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

namespace recapctl {
namespace {

using recap::client::Dict;
using recap::client::Happening;
using recap::client::Rows;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kNow = 1767225600000000;  // 2026-01-01 00:00:00 UTC

struct EventLinesTest : testing::Test {
    void SetUp() override {
        ::setenv("TZ", "UTC", 1);
        ::tzset();
    }
    static Dict run(const std::string& id, const std::string& state, const std::string& outcome = "", std::uint64_t started = kNow) {
        return {{"id", id},     {"capsule", "scan"},  {"target", "docker:a"}, {"state", state},     {"outcome", outcome}, {"exit-code", 0},
                {"detail", ""}, {"trigger", "event"}, {"event", "oom"},       {"started", started}, {"phases", Dict{}}};
    }
    static Happening of(const char* what, Dict details) { return {what, std::move(details)}; }
    std::string next(const Happening& happening) {
        const auto event = lines.next(happening, kNow);
        return event ? inOneLine(*event, {}) : "";
    }
    std::vector<std::string> past(const Rows& rows) {
        std::vector<std::string> texts;
        for (const auto& event : lines.past(rows)) texts.push_back(inOneLine(event, {}).substr(21));
        return texts;
    }
    EventLines lines{{}};
};

TEST_F(EventLinesTest, SayWhatHappensInALineEach) {
    EXPECT_EQ(next(of("run-submitted", {{"id", "R1"}, {"capsule", "scan"}, {"target", "web"}})),
              "2026-01-01 00:00:00  run-submitted   R1  scan  web\n");
    const Dict started{{"id", "R1"}, {"capsule", "scan"}, {"target", "docker:a"}, {"trigger", "event"}, {"event", "oom"}, {"batch", "B1"}};
    EXPECT_EQ(next(of("run-started", started)), "2026-01-01 00:00:00  run-started     R1  scan  docker:a  (oom)\n");
    Dict finished = started;
    for (const auto& [key, value] : Dict{{"outcome", "failed"}, {"exit-code", 3}, {"detail", "no such file\n"}}) finished.set(key, value);
    EXPECT_EQ(next(of("run-finished", finished)),
              "2026-01-01 00:00:00  run-finished    R1  scan  docker:a  failed 3  (oom)  no such file\\x0a\n");
    EXPECT_EQ(next(of("batch-finished", {{"id", "B1"}, {"counts", Dict{{"finished", 2u}, {"failed", 1u}, {"succeeded", 1u}}}})),
              "2026-01-01 00:00:00  batch-finished  B1  scan  1 failed, 1 succeeded\n");
    EXPECT_EQ(next(of("batch-finished", {{"id", "B2"}, {"counts", Dict{}}})), "2026-01-01 00:00:00  batch-finished  B2  no targets\n");
    EXPECT_EQ(next(of("target-added", {{"target", "docker:a"}, {"name", "web\x1b[2J"}, {"image", "nginx"}})),
              "2026-01-01 00:00:00  target-added    docker:a  web\\x1b[2J  nginx\n");
    EXPECT_EQ(next(of("target-removed", {{"target", "docker:a"}})), "2026-01-01 00:00:00  target-removed  docker:a\n");
    EXPECT_EQ(next(of("recapd-gone", {})), "2026-01-01 00:00:00  recapd-gone     recapd has ended; this goes on when it is back\n");
}

TEST_F(EventLinesTest, OnDemandIsNotSaidAndASkippedRunHasItsReason) {
    EXPECT_EQ(
        next(of("run-finished",
                {{"id", "R1"}, {"capsule", "ps"}, {"target", "a"}, {"outcome", "succeeded"}, {"trigger", "on-demand"}, {"detail", "x"}})),
        "2026-01-01 00:00:00  run-finished    R1  ps  a  succeeded\n");
    EXPECT_EQ(next(of("run-finished", {{"id", "R2"},
                                       {"capsule", "ps"},
                                       {"target", "a"},
                                       {"outcome", "skipped"},
                                       {"trigger", "periodic"},
                                       {"detail", "still under way"}})),
              "2026-01-01 00:00:00  run-skipped     R2  ps  a  (periodic)  still under way\n");
}

TEST_F(EventLinesTest, PastRunsComeInTheOrderOfTheirLastChange) {
    Dict longer = run("R1", "finished", "succeeded", kNow - 10'000'000);
    longer.set("phases",
               Dict{{"received", std::uint64_t{5'000'000}}, {"finished", std::uint64_t{8'000'000}}, {"escaped", std::uint64_t{9'000'000}}});
    Dict skipped = run("R2", "finished", "skipped", kNow - 8'000'000);
    skipped.set("detail", "in its cooldown");
    EXPECT_THAT(past({run("R3", "running"), longer, skipped}),
                ElementsAre("run-skipped     R2  scan  docker:a  (oom)  in its cooldown\n",
                            "run-finished    R1  scan  docker:a  succeeded  (oom)\n", "run-started     R3  scan  docker:a  (oom)\n"));
}

TEST_F(EventLinesTest, EachThingIsSaidOnceWhoeverTellsFirst) {
    past({run("R1", "finished", "succeeded"), run("R2", "pending")});
    const Dict first = run("R1", "finished", "succeeded"), second = run("R2", "running");
    EXPECT_EQ(next(of("run-submitted", first)), "");
    EXPECT_EQ(next(of("run-started", first)), "");
    EXPECT_EQ(next(of("run-finished", first)), "");
    EXPECT_EQ(next(of("run-submitted", second)), "");
    EXPECT_THAT(lines.underWay(), ElementsAre("R2"));
    EXPECT_NE(next(of("run-started", second)), "");
    EXPECT_THAT(past({second}), IsEmpty());
    EXPECT_THAT(past({run("R2", "finished", "lost")}), ElementsAre("run-finished    R2  scan  docker:a  lost  (oom)\n"));
    EXPECT_THAT(lines.underWay(), IsEmpty());
    EXPECT_EQ(next(of("run-finished", run("R2", "finished", "lost"))), "");
}

TEST_F(EventLinesTest, AFilterByCapsuleKeepsItsBatches) {
    lines = EventLines({.capsule = "scan", .target = ""});
    EXPECT_EQ(next(of("target-added", {{"target", "docker:a"}})), "");
    EXPECT_EQ(next(of("run-started", {{"id", "R1"}, {"capsule", "ps"}, {"batch", "B1"}})), "");
    EXPECT_NE(next(of("run-started", {{"id", "R2"}, {"capsule", "scan"}, {"batch", "B2"}})), "");
    EXPECT_EQ(next(of("batch-started", {{"id", "B3"}})), "") << "of which capsule is not known yet";
    EXPECT_EQ(next(of("batch-finished", {{"id", "B1"}})), "");
    EXPECT_NE(next(of("batch-finished", {{"id", "B2"}})), "");
    EXPECT_NE(next(of("recapd-back", {})), "");
}

TEST_F(EventLinesTest, AFilterByTargetKeepsTheTargetsOwn) {
    lines = EventLines({.capsule = "", .target = "docker:a"});
    EXPECT_NE(next(of("target-removed", {{"target", "docker:a"}})), "");
    EXPECT_EQ(next(of("target-removed", {{"target", "docker:b"}})), "");
    EXPECT_NE(next(of("run-started", {{"id", "R1"}, {"target", "docker:a"}})), "");
    EXPECT_EQ(next(of("batch-started", {{"id", "B1"}})), "");
}

TEST_F(EventLinesTest, AnObjectHasAllThatThereIs) {
    const auto event = lines.next(
        of("run-finished", {{"id", "R1"}, {"capsule", "scan"}, {"exit-code", 3}, {"outcome", "failed"}, {"event", "oom"}}), kNow);
    ASSERT_TRUE(event);
    const std::string line = inOneLine(*event, {.json = true});
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    const auto object = nlohmann::json::parse(line);
    EXPECT_EQ(object.at("schema"), 1);
    EXPECT_EQ(object.at("what"), "run-finished");
    EXPECT_EQ(object.at("event"), "oom") << "by which it was started, as 'runs' has it";
    EXPECT_EQ(object.at("time"), kNow);
    EXPECT_EQ(object.at("exit_code"), 3);
}

}  // namespace
}  // namespace recapctl
