// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/batch_report.hpp"

#include <gtest/gtest.h>

#include "sdk/client/recapctl/batch.hpp"

namespace recapctl {
namespace {

using recap::client::Dict;
using recap::client::Rows;

Dict row(const std::string& target, const std::string& name, const std::string& outcome = "", int exitCode = 0, const std::string& run = "",
         const std::string& detail = "", const std::string& escape = "") {
    return {{"target", target},   {"name", name},
            {"run", run},         {"state", outcome.empty() ? "pending" : "finished"},
            {"outcome", outcome}, {"exit-code", std::int32_t{exitCode}},
            {"escape", escape},   {"detail", detail}};
}

TEST(BatchReport, TheStatusSaysAllSomeOrNone) {
    EXPECT_EQ(batchStatus({row("d:1", "", "succeeded"), row("d:2", "", "succeeded")}), 0);
    EXPECT_EQ(batchStatus({row("d:1", "", "succeeded"), row("d:2", "", "target-gone")}), 1);
    EXPECT_EQ(batchStatus({row("d:1", "", "failed"), row("d:2", "", "skipped")}), 2);
}

TEST(BatchReport, ALineATargetInColumnsThatAreKnownFromTheStart) {
    const std::string run = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const BatchLines lines({row("docker:3f2a", "web"), row("docker:9c1b", "a-longer-name"), row("process:7", "")});
    EXPECT_EQ(lines.heads({}), "TARGET                OUTCOME      EXIT  RUN                         DETAIL\n");
    EXPECT_EQ(lines.heads({.legend = false}), "");
    EXPECT_EQ(lines.line(row("docker:3f2a", "web", "failed", 3, run)), "docker:web            failed       3     " + run + "\n");
    EXPECT_EQ(lines.line(row("docker:9c1b", "a-longer-name", "denied", 0, "", "you may\nnot")),
              "docker:a-longer-name  denied       -     -                           you may\\x0anot\n");
    EXPECT_EQ(lines.line(row("process:7", "", "killed", 137, run, "", "left: mount /x")),
              "process:7             killed       137   " + run + "  escape: left: mount /x\n");
}

TEST(BatchReport, ANameThatTwoHaveNamesNeither) {
    const BatchLines lines({row("docker:1", "web"), row("docker:2", "web"), row("podman:3", "web")});
    EXPECT_EQ(lines.line(row("docker:2", "web", "succeeded")).substr(0, 10), "docker:2  ");
    EXPECT_EQ(lines.line(row("podman:3", "web", "succeeded")).substr(0, 12), "podman:web  ");
}

TEST(BatchReport, ProgressAndSummaryCount) {
    const Rows rows{row("d:1", "", "succeeded"), row("d:2", "", "failed", 1), row("d:3", "")};
    EXPECT_EQ(batchProgress(rows, {{"running", std::uint32_t{1}}}, std::chrono::seconds(3)),
              "2 of 3 done, 1 running, 1 not succeeded, 3 s");
    EXPECT_EQ(batchProgress({row("d:3", "")}, {}, std::chrono::seconds(0)), "0 of 1 done, 0 s");
    EXPECT_EQ(batchSummary({row("d:1", "", "succeeded"), row("d:2", "", "failed", 1), row("d:3", "", "succeeded")}),
              "3 targets: 2 succeeded, 1 failed");
    EXPECT_EQ(batchSummary({row("d:1", "", "target-gone")}), "1 target: 1 target-gone");
}

TEST(BatchReport, AsJsonItIsOneObject) {
    const Json json = batchToJson("ID", {row("d:1", "web", "failed", 3), row("d:2", "db", "succeeded")});
    EXPECT_EQ(json.at("schema"), 1);
    EXPECT_EQ(json.at("id"), "ID");
    EXPECT_EQ(json.at("exit_status"), 1);
    EXPECT_EQ(json.at("counts"), (Json{{"failed", 1}, {"succeeded", 1}}));
    EXPECT_EQ(json.at("results").at(0).at("exit_code"), 3);
    EXPECT_EQ(json.at("results").at(1).at("name"), "db");
}

TEST(SelectOptions, SaysOnlyWhatWasSaid) {
    SelectOptions options;
    EXPECT_FALSE(options.any());
    options.all = true;
    EXPECT_TRUE(options.any());
    EXPECT_TRUE(options.selector().empty());
    options.backends = "docker,podman";
    options.labels = "app=web";
    options.mode = "one";
    const Dict selector = options.selector();
    EXPECT_EQ(selector.size(), 3u);
    EXPECT_EQ(selector.strings("backends"), (recap::client::Strings{"docker", "podman"}));
    EXPECT_EQ(selector.text("labels"), "app=web");
    EXPECT_EQ(selector.text("mode"), "one");
}

}  // namespace
}  // namespace recapctl
