// SPDX-License-Identifier: Apache-2.0
// recapctl against recapd: the words that both must agree on. Runs that really run are tests/system's.
#include "tests/bus/client/recapd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace recap::test {
namespace {

using testing::HasSubstr;

struct WithRecapd : testing::Test {
    Recapd recapd;
    void SetUp() override { ASSERT_TRUE(recapd.ready()); }
    CommandResult recapctl(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), (binDir() / "recapctl").string());
        return run(Command{.argv = std::move(arguments), .env = recapd.bus().environment()});
    }
    nlohmann::json json(std::vector<std::string> arguments) {
        arguments.emplace_back("--json");
        const auto result = recapctl(std::move(arguments));
        return nlohmann::json::parse(result.out, nullptr, false);
    }
};

TEST_F(WithRecapd, EveryListIsAnswered) {
    const std::pair<std::vector<std::string>, const char*> lists[] = {
        {{"targets"}, "targets"},   {{"capsules"}, "capsules"}, {{"image", "list"}, "images"}, {{"backends"}, "backends"},
        {{"policies"}, "policies"}, {{"runs"}, "runs"},         {{"doctor"}, "checks"},
    };
    for (const auto& [arguments, key] : lists) {
        const auto object = json(arguments);
        ASSERT_TRUE(object.is_object()) << key;
        EXPECT_TRUE(object.contains(key)) << object.dump();
    }
}

TEST_F(WithRecapd, ARunThatCannotBeIsRefusedByNameAndKept) {
    const auto result = recapctl({"run", "nope", "web", "--json"});
    EXPECT_EQ(result.status, 125) << result.all();
    const auto object = nlohmann::json::parse(result.out, nullptr, false);
    ASSERT_TRUE(object.is_object()) << result.all();
    EXPECT_EQ(object.at("outcome"), "not-started");
    EXPECT_EQ(object.at("error").at("code"), "NotFound");
    EXPECT_THAT(object.at("error").at("message").get<std::string>(), HasSubstr("'nope'"));
    const std::string id = object.at("id");
    EXPECT_EQ(json({"show", id}).at("outcome"), "not-started");
    EXPECT_THAT(recapctl({"runs", "--no-legend"}).out, HasSubstr(id));
}

TEST_F(WithRecapd, WhatItDoesNotDoYetItSays) {
    for (const auto& arguments : {std::vector<std::string>{"image", "scan", "x"}, {"image", "import", "docker://x"}}) {
        const auto object = json(arguments);
        ASSERT_TRUE(object.is_object());
        EXPECT_EQ(object.at("error").at("code"), "NotSupported") << object.dump();
    }
}

TEST_F(WithRecapd, ABatchThatCannotBeIsRefusedByName) {
    const auto refused = json({"run", "nope", "--selector", "app=web"});
    EXPECT_EQ(refused.at("error").at("code"), "NotFound") << refused.dump();
    EXPECT_THAT(refused.at("error").at("message").get<std::string>(), HasSubstr("'nope'"));
    EXPECT_THAT(recapctl({"run", "nope", "--selector", "app ~ web"}).err, HasSubstr("'app ~ web'"));
    EXPECT_THAT(recapctl({"run", "nope", "--mode", "some"}).err, HasSubstr("percent:1 to 100"));
}

TEST_F(WithRecapd, ErrorsNameWhatIsMissing) {
    EXPECT_THAT(recapctl({"plan", "nope", "web"}).err, HasSubstr("'nope'"));
    EXPECT_EQ(json({"capsule", "remove", "nope"}).at("error").at("code"), "NotFound");
    EXPECT_EQ(json({"capsule", "enable", "nope"}).at("error").at("code"), "NotFound");
    EXPECT_EQ(json({"run", "--now", "nope"}).at("error").at("code"), "NotFound");
    EXPECT_TRUE(json({"schedule"}).at("schedule").is_array());
    EXPECT_EQ(json({"logs", "01HZZZZZZZZZZZZZZZZZZZZZZ0"}).at("error").at("code"), "NotFound");
}

}  // namespace
}  // namespace recap::test
