// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recap/value.hpp"

#include <gtest/gtest.h>

namespace recap::client {
namespace {

TEST(Dict, AnswersOnlyForTheKindThatIsThere) {
    const Dict dict{{"name", "web"}, {"pid", 7U}, {"big", std::uint64_t{1} << 40}, {"frozen", true}, {"args", Strings{"a", "b"}}};
    EXPECT_EQ(dict.text("name"), "web");
    EXPECT_EQ(dict.number("pid"), 7);
    EXPECT_EQ(dict.number("big"), std::int64_t{1} << 40);
    EXPECT_TRUE(dict.flag("frozen"));
    EXPECT_EQ(dict.strings("args"), (Strings{"a", "b"}));
    EXPECT_EQ(dict.text("pid"), "");
    EXPECT_EQ(dict.number("name"), 0);
    EXPECT_FALSE(dict.flag("pid"));
    EXPECT_TRUE(dict.strings("nothing").empty());
    EXPECT_FALSE(dict.has("nothing"));
}

TEST(Dict, SetReplacesAndKeepsTheOrder) {
    Dict dict;
    dict.set("z", 1U);
    dict.set("a", 2U);
    dict.set("z", 3U);
    ASSERT_EQ(dict.size(), 2U);
    EXPECT_EQ(dict.begin()->first, "z");
    EXPECT_EQ(dict.number("z"), 3);
}

TEST(Value, TextIsTextWhateverItCameAs) {
    EXPECT_EQ(std::get<std::string>(Value("literal").is), "literal");
    EXPECT_EQ(std::get<std::string>(Value(std::string_view("view")).is), "view");
    EXPECT_TRUE(std::holds_alternative<bool>(Value(true).is));
}

}  // namespace
}  // namespace recap::client
