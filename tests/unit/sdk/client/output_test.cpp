// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/output.hpp"

#include <gtest/gtest.h>

namespace recapctl {
namespace {

using recap::client::Dict;
using recap::client::Rows;
using recap::client::Strings;

const std::vector<Column> kColumns{text("NAME", "name"), list("TAGS", "tags"), text("STATE", "state")};

TEST(Table, LinesUpAndHasNoSpaceAtALinesEnd) {
    const Rows rows{Dict{{"name", "a"}, {"tags", Strings{"x", "y"}}, {"state", "running"}}, Dict{{"name", "longer"}, {"state", "ok"}}};
    EXPECT_EQ(table(kColumns, rows, {}),
              "NAME    TAGS  STATE\n"
              "a       x,y   running\n"
              "longer  -     ok\n");
}

TEST(Table, WithoutLegendHasARecordALineAndNothingElse) {
    Style style;
    style.legend = false;
    style.colour = true;
    EXPECT_EQ(table(kColumns, {Dict{{"name", "a"}, {"state", "b"}}}, style), "a  -  b\n");
}

TEST(Table, KeepsARecordOnItsLineWhateverItsNameIs) {
    const std::string out = table({text("NAME", "name")}, {Dict{{"name", "web\n\033[31mfake"}}}, {});
    EXPECT_EQ(out, "NAME\nweb\\x0a\\x1b[31mfake\n");
}

TEST(Table, CountsCharactersWhenItLinesUp) {
    const Rows rows{Dict{{"name", "über"}, {"state", "1"}}, Dict{{"name", "four"}, {"state", "2"}}};
    Style style;
    style.legend = false;
    EXPECT_EQ(table({text("NAME", "name"), text("STATE", "state")}, rows, style), "über  1\nfour  2\n");
}

TEST(Table, ColoursTheLegendOnly) {
    Style style;
    style.colour = true;
    EXPECT_EQ(table({text("NAME", "name")}, {Dict{{"name", "a"}}}, style), "\033[1mNAME\033[0m\na\n");
}

TEST(MayColour, IsNoWhereNobodyLooks) {
    ::setenv("TERM", "xterm", 1);
    testing::internal::CaptureStdout();  // standard output is a file now
    EXPECT_FALSE(mayColour(1));
    testing::internal::GetCapturedStdout();
}

}  // namespace
}  // namespace recapctl
