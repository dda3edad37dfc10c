// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/names.hpp"

#include <gtest/gtest.h>

namespace recap::image {
namespace {

TEST(CleanName, MakesOneFormOfManySpellings) {
    EXPECT_EQ(*cleanName("usr/bin/x", {}), "usr/bin/x");
    EXPECT_EQ(*cleanName("./usr//bin/./x/", {}), "usr/bin/x");
    EXPECT_EQ(*cleanName("./", {}), "");
    EXPECT_EQ(*cleanName("a..b/...", {}), "a..b/...");
}

TEST(CleanName, RefusesWhatLeavesTheRootAndNamesIt) {
    for (const std::string raw : {"", "/etc/passwd", "..", "../x", "a/../b", "a/.."}) {
        auto clean = cleanName(raw, {});
        ASSERT_FALSE(clean) << raw;
        EXPECT_EQ(clean.error().code, Errc::InvalidArgument);
        EXPECT_EQ(clean.error().message.substr(0, 7), "entry '");
    }
    EXPECT_FALSE(cleanName(std::string_view("a\0b", 3), {}));
}

TEST(CleanName, RefusesWhatIsOverALimit) {
    Limits limits;
    limits.path = 40;
    limits.depth = 3;
    EXPECT_TRUE(cleanName("a/b/c", limits));
    EXPECT_FALSE(cleanName("a/b/c/d", limits));
    EXPECT_FALSE(cleanName(std::string(41, 'x'), limits));
    EXPECT_TRUE(cleanName(std::string(255, 'x'), {}));
    EXPECT_FALSE(cleanName(std::string(256, 'x'), {}));
}

TEST(Shown, MakesHostileNamesHarmlessForATerminal) {
    EXPECT_EQ(shown("a\x1b[2Jb"), "'a\\x1b[2Jb'");
    EXPECT_EQ(shown("it's"), "'it\\x27s'");
    EXPECT_LT(shown(std::string(5000, 'x')).size(), 200u);
}

TEST(WhiteoutOf, TellsNamesFoldersAndNeither) {
    EXPECT_EQ(whiteoutOf("etc/passwd")->kind, Whiteout::Kind::None);
    EXPECT_EQ(whiteoutOf("etc/.wh.passwd")->hidden, "etc/passwd");
    EXPECT_EQ(whiteoutOf(".wh.etc")->hidden, "etc");
    const auto opaque = whiteoutOf("etc/.wh..wh..opq");
    EXPECT_EQ(opaque->kind, Whiteout::Kind::Opaque);
    EXPECT_EQ(opaque->hidden, "etc");
}

TEST(WhiteoutOf, RefusesWhatHidesNothingThatMayBeHidden) {
    for (const auto* path : {".wh.", "a/.wh..", "a/.wh...", ".wh..wh.plnk", "a/.wh.b/c", ".wh.b/c"}) EXPECT_FALSE(whiteoutOf(path)) << path;
}

}  // namespace
}  // namespace recap::image
