// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/selection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace recap {
namespace {

using ::testing::HasSubstr;

Target target(const std::string& id, const std::map<std::string, std::string>& labels = {}, const std::string& backend = "docker") {
    Target made;
    made.id = {backend, id};
    made.name = "name-" + id;
    made.image = "registry/app:1";
    made.labels = labels;
    return made;
}

bool fits(const std::string& selector, const std::map<std::string, std::string>& labels) {
    Selection selection;
    selection.labels = parseLabels(selector).value();
    return matches(selection, target("a", labels));
}

TEST(Selection, LabelsAreReadAsKubernetesWritesThem) {
    EXPECT_TRUE(fits("app=web", {{"app", "web"}}));
    EXPECT_TRUE(fits("app==web", {{"app", "web"}}));
    EXPECT_FALSE(fits("app=web", {{"app", "db"}}));
    EXPECT_FALSE(fits("app=web", {}));
    EXPECT_TRUE(fits("app!=web", {}));
    EXPECT_FALSE(fits("app != web", {{"app", "web"}}));
    EXPECT_TRUE(fits("tier in (front, back)", {{"tier", "back"}}));
    EXPECT_FALSE(fits("tier in (front,back)", {{"tier", "middle"}}));
    EXPECT_TRUE(fits("tier notin (front,back)", {}));
    EXPECT_FALSE(fits("tier notin (front,back)", {{"tier", "front"}}));
    EXPECT_TRUE(fits("debug", {{"debug", ""}}));
    EXPECT_FALSE(fits("debug", {}));
    EXPECT_TRUE(fits("!debug", {}));
    EXPECT_FALSE(fits("!debug", {{"debug", "1"}}));
    EXPECT_TRUE(fits("app=web,tier in (front,back), !debug", {{"app", "web"}, {"tier", "front"}}));
    EXPECT_TRUE(fits("", {}));
    EXPECT_TRUE(fits("empty=", {{"empty", ""}}));
}

TEST(Selection, WhatIsNoSelectorIsNamed) {
    for (const char* text : {"app=web,,tier=x", "a b", "tier in front", "tier within (a)", "tier in (a", "=x", "!", "!=x", "a(b)"}) {
        const auto parsed = parseLabels(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, Errc::InvalidArgument);
    }
    EXPECT_THAT(parseLabels("app=web,a b").error().message, HasSubstr("'a b'"));
    std::string many = "a";
    for (int i = 0; i < 64; ++i) many += ",a";
    EXPECT_FALSE(parseLabels(many));
}

TEST(Selection, ATermIsWrittenAsItIsRead) {
    for (const char* text : {"app=web", "app!=web", "tier in (a,b)", "tier notin (a,b)", "debug", "!debug"})
        EXPECT_EQ(recap::text(parseLabels(text)->at(0)), text);
}

TEST(Selection, ModesAreReadOrNamed) {
    Selection selection;
    ASSERT_TRUE(parseMode("percent:10", selection));
    EXPECT_EQ(selection.mode, SelectionMode::Percent);
    EXPECT_EQ(selection.modeValue, 10u);
    ASSERT_TRUE(parseMode("fixed:3", selection));
    EXPECT_EQ(selection.mode, SelectionMode::Fixed);
    ASSERT_TRUE(parseMode("one", selection));
    for (const char* text :
         {"", "some", "fixed", "fixed:", "fixed:0", "fixed:-1", "percent:0", "percent:101", "percent:1x", "percent:99999999999"})
        EXPECT_FALSE(parseMode(text, selection)) << text;
}

struct Many : ::testing::Test {
    Many() {
        for (int i = 0; i < 25; ++i) all.push_back(target("c" + std::to_string(i), {{"odd", i % 2 == 1 ? "yes" : "no"}}));
        for (const auto& one : all) pointers.push_back(&one);
    }
    std::vector<std::string> chosen(const std::string& labels, const std::string& mode) {
        Selection selection;
        selection.labels = parseLabels(labels).value();
        EXPECT_TRUE(parseMode(mode, selection));
        std::vector<std::string> ids;
        for (const Target* one : select(selection, pointers)) ids.push_back(one->id.id);
        return ids;
    }
    std::vector<Target> all;
    std::vector<const Target*> pointers;
};

TEST_F(Many, AsManyAsTheModeSaysAndAlwaysTheSame) {
    EXPECT_EQ(chosen("odd=yes", "all").size(), 12u);
    EXPECT_EQ(chosen("odd=yes", "one").size(), 1u);
    EXPECT_EQ(chosen("odd=yes", "fixed:5").size(), 5u);
    EXPECT_EQ(chosen("odd=yes", "fixed:50").size(), 12u);
    EXPECT_EQ(chosen("odd=yes", "percent:10").size(), 2u);  // 1.2, rounded up
    EXPECT_EQ(chosen("odd=yes", "percent:100").size(), 12u);
    EXPECT_TRUE(chosen("odd=perhaps", "one").empty());
    const auto before = chosen("odd=yes", "fixed:5");
    std::reverse(pointers.begin(), pointers.end());
    EXPECT_EQ(chosen("odd=yes", "fixed:5"), before);
}

TEST_F(Many, WhatDoesNotRunIsNotChosen) {
    all[1].state = TargetState::Stopped;
    all[3].state = TargetState::Paused;
    EXPECT_EQ(chosen("odd=yes", "all").size(), 10u);
}

TEST(Selection, BackendNameAndImageAreMet) {
    Target one = target("a");
    one.aliases = {"shop-web-1"};
    Selection selection;
    selection.name = "shop-*";
    EXPECT_TRUE(matches(selection, one));
    selection.name = "shop";
    EXPECT_FALSE(matches(selection, one));
    selection.name = "name-?";
    EXPECT_TRUE(matches(selection, one));
    selection.image = "registry/*";
    EXPECT_TRUE(matches(selection, one));
    selection.backends = {"containerd"};
    EXPECT_FALSE(matches(selection, one));
}

}  // namespace
}  // namespace recap
