// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/guard.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "sdk/manifest/document.hpp"
#include "sdk/manifest/reader.hpp"

using namespace recap::manifest;

namespace {

std::string repeat(std::string_view text, std::size_t times) {
    std::string result;
    for (std::size_t i = 0; i < times; ++i) result += text;
    return result;
}

std::string refusal(const std::string& text) {
    const auto finding = guard(text);
    return finding ? finding->message : "";
}

}  // namespace

TEST(Guard, RefusesWhatEndsTheParser) {
    // Each of these, long enough, crashes toml++ 3.3 by its recursion.
    EXPECT_NE(refusal(repeat("a.", 30'000) + "a=1"), "");
    EXPECT_NE(refusal("[" + repeat("a.", 30'000) + "a]"), "");
    EXPECT_NE(refusal("[[" + repeat("a.", 30'000) + "a]]"), "");
    EXPECT_NE(refusal("x=" + repeat("[", 60'000)), "");
    EXPECT_NE(refusal("x=" + repeat("{a=", 20'000)), "");
    EXPECT_NE(refusal("x={" + repeat("a . ", 15'000) + "a=1}"), "");
    EXPECT_NE(refusal(repeat("\"a\".", 10'000) + "a=1"), "");
    EXPECT_NE(refusal(repeat("'#'.", 10'000) + "a=1"), "");
    EXPECT_NE(refusal(std::string(kMaxText + 1, '\n')), "");
}

TEST(Guard, CountsExactly) {
    EXPECT_EQ(refusal(repeat("a.", 15) + "a=1"), "");
    EXPECT_NE(refusal(repeat("a.", 16) + "a=1"), "");
    EXPECT_EQ(refusal("x=" + repeat("[", 8) + repeat("]", 8)), "");
    EXPECT_NE(refusal("x=" + repeat("[", 9) + repeat("]", 9)), "");
    EXPECT_EQ(refusal("a=1.5\n" + repeat("b = [[1.5], [2.5]]\n", 500)), "") << "depth and segments start anew";
}

TEST(Guard, LooksNotIntoStringsAndComments) {
    const std::string dots = repeat("a.", 100), brackets = repeat("[{", 100);
    EXPECT_EQ(refusal("x = \"" + dots + brackets + "\""), "");
    EXPECT_EQ(refusal("x = '" + dots + brackets + "\\'"), "") << "a literal string has no escapes";
    EXPECT_EQ(refusal("x = \"\\\"" + dots + "\""), "");
    EXPECT_EQ(refusal("x = \"\"\"\n" + dots + "\n\"" + brackets + "\"\" \\\"\"\"\" "), "");
    EXPECT_EQ(refusal("x = '''" + dots + "'" + brackets + "'''"), "");
    EXPECT_EQ(refusal("# " + dots + brackets + "\"\nx=1"), "");
}

TEST(Guard, IsNotLedAstrayByQuotes) {
    const std::string bomb = "x=" + repeat("[", 100);
    EXPECT_NE(refusal("a = \"\"\"b\"\"\"\"\"\n" + bomb), "") << "five quotes end a multi-line string";
    EXPECT_NE(refusal("a = \"\"\n" + bomb + "# \""), "");
    EXPECT_NE(refusal("a = '\\'\n" + bomb), "");
    EXPECT_NE(refusal("a = \"\\\\\"\n" + bomb), "");
    EXPECT_EQ(refusal("a = \"no end\n"), "a string without an end");
    EXPECT_EQ(refusal("a = \"\"\"no end"), "a string without an end");
    EXPECT_EQ(refusal("a = \"\\"), "a string without an end");
}

TEST(Guard, SaysWhere) {
    const auto finding = guard("a = 1\nb = " + repeat("[", 20));
    ASSERT_TRUE(finding);
    EXPECT_EQ(finding->position.line, 2u);
    EXPECT_EQ(finding->position.column, 5u + kMaxDepth);
}

// Whatever the bytes: the reader answers, and never with both a value and a diagnostic.
TEST(Guard, ReaderOutlivesRandomText) {
    constexpr std::string_view pieces[] = {
        "[",      "]",           "[[",           "{",    "}",    "a",   ".",        "=", "\"",  "'",
        "\"\"\"", "'''",         "\\",           "\n",   "#",    ",",   " ",        "1", "1.5", "1979-05-27",
        "true",   "[capsule]\n", "name=\"x\"\n", "\xff", "\x01", "inf", "\xc3\xa9", "&", "\r\n"};
    std::mt19937 random(20240117);  // NOLINT: the same texts each time
    for (int round = 0; round < 30'000; ++round) {
        std::string text;
        const auto length = random() % 40;
        for (unsigned i = 0; i < length; ++i) text += repeat(pieces[random() % std::size(pieces)], random() % 20 == 0 ? 40 : 1);
        const auto read = readManifest(text, "random.toml");
        ASSERT_EQ(read.value.has_value(), read.diagnostics.empty()) << text;
    }
}
