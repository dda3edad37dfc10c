// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/text.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace recapctl {
namespace {

using std::chrono::microseconds;

TEST(Escaped, LeavesOrdinaryTextAlone) {
    EXPECT_EQ(escaped("docker:web-1"), "docker:web-1");
    EXPECT_EQ(escaped("grüße 世界 🚀"), "grüße 世界 🚀");
    EXPECT_EQ(escaped(""), "");
}

TEST(Escaped, ShowsWhatCouldMoveACursorOrEndALine) {
    EXPECT_EQ(escaped("a\033[2Jb"), "a\\x1b[2Jb");
    EXPECT_EQ(escaped("a\nb\tc\rd"), "a\\x0ab\\x09c\\x0dd");
    EXPECT_EQ(escaped(std::string_view("a\0b", 3)), "a\\x00b");
    EXPECT_EQ(escaped("\x7f"), "\\x7f");
}

TEST(Escaped, ShowsC1ControlsAndWhatTurnsOrHidesText) {
    EXPECT_EQ(escaped("\xc2\x9b"), "\\xc2\\x9b");  // CSI as one character
    EXPECT_EQ(escaped("a\xe2\x80\xae"
                      "b"),
              "a\\xe2\\x80\\xaeb");                         // right-to-left override
    EXPECT_EQ(escaped("\xe2\x80\x8b"), "\\xe2\\x80\\x8b");  // zero width space
}

TEST(Escaped, ShowsBytesThatAreNoUtf8) {
    EXPECT_EQ(escaped("\xff"), "\\xff");
    EXPECT_EQ(escaped("\xc3"), "\\xc3");                    // cut short
    EXPECT_EQ(escaped("\xc0\xaf"), "\\xc0\\xaf");           // overlong
    EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
}

TEST(Escaped, CannotBeFaked) { EXPECT_NE(escaped("\\x1b"), escaped("\033")); }

TEST(Width, CountsCharactersNotBytes) {
    EXPECT_EQ(width("grüße"), 5U);
    EXPECT_EQ(width(""), 0U);
}

TEST(ParseDuration, ReadsUnitsAndPlainSeconds) {
    EXPECT_EQ(*parseDuration("30s"), microseconds(30'000'000));
    EXPECT_EQ(*parseDuration("1m30s"), microseconds(90'000'000));
    EXPECT_EQ(*parseDuration("250ms"), microseconds(250'000));
    EXPECT_EQ(*parseDuration("0.5"), microseconds(500'000));
    EXPECT_EQ(*parseDuration("2h"), microseconds(7'200'000'000));
}

TEST(ParseDuration, RefusesTheRestByName) {
    for (const char* text : {"", "s", "5x", "1.2.3s", "-5s", "0", "1 s", "99999999999d", "nan", "inf"}) {
        const auto parsed = parseDuration(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_NE(parsed.error().message.find("'" + std::string(text) + "'"), std::string::npos) << parsed.error().message;
    }
}

TEST(ParseMoment, TakesDurationsAndDates) {
    constexpr std::uint64_t kSecond = 1'000'000, kNow = 1'800'000'000 * kSecond;
    EXPECT_EQ(*parseMoment("2h", kNow), kNow - 7200 * kSecond);
    EXPECT_EQ(*parseMoment("1h", 5 * kSecond), 0u);
    EXPECT_EQ(*parseMoment("2026-01-31T14:05:09Z", kNow), 1'769'868'309 * kSecond);
    EXPECT_EQ(*parseMoment("2026-01-31 14:05Z", kNow), 1'769'868'300 * kSecond);
    EXPECT_EQ(localTime(*parseMoment("2026-01-31", kNow)), "2026-01-31 00:00:00");
    EXPECT_EQ(localTime(*parseMoment("2026-07-31 14:05", kNow)), "2026-07-31 14:05:00");
    EXPECT_EQ(localTime(*parseMoment("2026-07-31T14:05:09", kNow)), "2026-07-31 14:05:09");
}

TEST(ParseMoment, RefusesTheRestByName) {
    for (const char* text : {"", "yesterday", "2026-02-30", "2026-13-01", "2026-01-31 25:00", "2026-01-31x", "1969-01-01Z", "Z"}) {
        const auto parsed = parseMoment(text, 0);
        ASSERT_FALSE(parsed) << text;
        EXPECT_NE(parsed.error().message.find("'" + std::string(text) + "'"), std::string::npos) << parsed.error().message;
    }
}

TEST(Bytes, PicksAUnit) {
    EXPECT_EQ(bytes(0), "0 B");
    EXPECT_EQ(bytes(812), "812 B");
    EXPECT_EQ(bytes(64ULL << 20), "64 MiB");
    EXPECT_EQ(bytes(3ULL << 29), "1.5 GiB");
}

TEST(Span, PicksAUnit) {
    EXPECT_EQ(span(250'000), "250 ms");
    EXPECT_EQ(span(30'000'000), "30 s");
    EXPECT_EQ(span(1'500'000), "1.5 s");
    EXPECT_EQ(span(300'000'000), "5 min");
}

TEST(Base64, FollowsTheStandardsVectors) {
    EXPECT_EQ(base64(""), "");
    EXPECT_EQ(base64("f"), "Zg==");
    EXPECT_EQ(base64("fo"), "Zm8=");
    EXPECT_EQ(base64("foo"), "Zm9v");
    EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
    EXPECT_EQ(base64("\xff\xfe"), "//4=");
}

}  // namespace
}  // namespace recapctl
