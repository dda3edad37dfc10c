// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/text.hpp"

#include <gtest/gtest.h>
#include <sdbus-c++/sdbus-c++.h>

#include "daemon/bus/door.hpp"
#include "daemon/bus/rows.hpp"

namespace recap::bus {
namespace {

const std::string kReplacement = "\xef\xbf\xbd";

bool taken(const std::string& text) {
    try {
        return sdbus::Variant(text).get<std::string>() == text;
    } catch (const sdbus::Error&) {
        return false;
    }
}

TEST(BusText, LeavesWhatTheBusTakes) {
    for (const std::string text : {"", "plain", "\n\x7f\xc2\x85", "\u00e4\u20ac\ufffd\U0001f600\U0010fffd", "\ufdcf\ufdf0"}) {
        EXPECT_TRUE(taken(text));
        EXPECT_EQ(busText(text), text);
    }
}

TEST(BusText, ReplacesWhatTheBusRefuses) {
    for (const std::string text : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xef\xb7\x90", "\xef\xb7\xaf",
                                   "\xef\xbf\xbe", "\xef\xbf\xbf", "\xf0\x9f\xbf\xbe", "\xf4\x8f\xbf\xbf"}) {
        EXPECT_FALSE(taken(text));
        EXPECT_TRUE(taken(busText("a" + text + "b"))) << busText(text);
        EXPECT_NE(busText("a" + text + "b").find(kReplacement), std::string::npos);
        EXPECT_TRUE(busText("a" + text + "b").starts_with("a" + kReplacement) && busText("a" + text + "b").ends_with(kReplacement + "b"));
    }
    EXPECT_EQ(busText(std::string("a\0b", 3)), "a" + kReplacement + "b");
}

TEST(BusText, EveryPairOfBytesIsMadeFit) {
    for (int first = 1; first < 256; ++first) {
        for (int second = 1; second < 256; ++second) {
            const std::string text{static_cast<char>(first), static_cast<char>(second)};
            ASSERT_TRUE(taken(busText(text))) << first << " " << second;
            ASSERT_EQ(busText(text) == text, taken(text)) << first << " " << second;
        }
    }
}

TEST(BusText, ABriefTextEndsAtACharacter) {
    std::string many;
    for (int i = 0; i < 300; ++i) many += "\u00e4";
    EXPECT_LE(briefText("x" + many).size(), 512u);
    EXPECT_TRUE(taken(briefText("x" + many)));
    EXPECT_TRUE(briefText(many).ends_with("\u2026"));
    EXPECT_EQ(briefText(std::string(512, 'x')), std::string(512, 'x'));
}

TEST(BusText, AnErrorIsFitAndNamesNoStateFolder) {
    hideFolder("/state/folder");
    EXPECT_EQ(toBus({Errc::Io, "open /state/folder/logs/x: \xff"}).getMessage(), "open logs/x: " + kReplacement);
}

TEST(Listing, EndsBeforeTheBusWouldEndUs) {
    Listing rows;
    int count = 0;
    while (rows.add({{"name", std::string(1 << 20, 'x')}})) ASSERT_LT(++count, 100);
    EXPECT_EQ(count, 7);
    EXPECT_EQ(std::move(rows).whole().error().code, Errc::LimitExceeded);
    EXPECT_EQ(whole({{"name", std::string(9 << 20, 'x')}}).error().code, Errc::LimitExceeded);
}

}  // namespace
}  // namespace recap::bus
