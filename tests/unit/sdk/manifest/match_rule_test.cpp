// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sdk/manifest/match_rule.hpp"

namespace recap::manifest {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string textOf(const std::string& rule) {
    const auto parsed = parseMatchRule(rule);
    return parsed ? parsed->text : parsed.error().message;
}

constexpr const char* kSent = "sender='org.example.Backup',member='Done'";

TEST(MatchRule, IsOneTextHoweverItIsWritten) {
    const std::string whole =
        "type='signal',sender='org.example.Backup',path='/org/example/Backup',interface='org.example.Backup1',member='Done',"
        "arg0='web',arg2path='/srv/',arg10=''";
    EXPECT_EQ(textOf(whole), whole);
    EXPECT_EQ(textOf("arg10='',member=Done,  arg2path='/srv/',arg0='we''b',interface='org.example.Backup1',sender=org.example.Backup,"
                     "path=/org/example/Backup"),
              whole);
    const auto parsed = parseMatchRule(whole);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->sender, "org.example.Backup");
    EXPECT_EQ(checkMatchRule(whole), "");
}

TEST(MatchRule, HasEveryKeyThatNarrowsIt) {
    for (const std::string more : {"path_namespace='/org/example'", "path='/'", "arg0namespace='org.example'", "arg0namespace='org'",
                                   "arg63='x'", "arg63path='/'", "arg0='a, b=c'", "interface='org.example.X_1'", "path='/org/example/0'"})
        EXPECT_THAT(textOf(std::string(kSent) + "," + more), AllOf(StartsWith("type='signal',"), HasSubstr(more))) << more;
    EXPECT_THAT(textOf("sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.example.Backup'"), StartsWith("type='signal'"));
}

TEST(MatchRule, SaysWhoseSignalsCount) {
    EXPECT_THAT(textOf("type='signal',interface='org.example.Backup1'"),
                AllOf(HasSubstr("match rule 'type='signal',interface="), HasSubstr("no sender"), HasSubstr("Every user of this machine")));
    EXPECT_THAT(textOf("sender=':1.7',member='Done'"), HasSubstr("the next start of that service does not have"));
    EXPECT_THAT(textOf("sender='org.recap1',member='RunFinished'"), HasSubstr("recapd itself"));
    for (const std::string name :
         {"", "Backup", "org..Backup", "org.example.", "org.1example", "org.exa mple", "org/example", "org.ex\xc3\xa4mple"})
        EXPECT_THAT(textOf("member='Done',sender='" + name + "'"), HasSubstr("is no bus name")) << name;
    EXPECT_THAT(textOf("member='Done',sender='a." + std::string(254, 'b') + "'"), HasSubstr("is no bus name"));
}

TEST(MatchRule, IsNotForEverythingThatAServiceSays) {
    EXPECT_THAT(textOf("sender='org.freedesktop.systemd1'"), HasSubstr("neither interface nor member"));
    EXPECT_THAT(textOf("sender='org.freedesktop.systemd1',path_namespace='/'"), HasSubstr("neither interface nor member"));
    EXPECT_THAT(textOf(""), HasSubstr("no sender"));
}

TEST(MatchRule, RefusesWhatWouldNotBeHeardOrIsNotRecapdsToHear) {
    const auto with = [](const std::string& more) { return textOf(std::string(kSent) + "," + more); };
    EXPECT_THAT(with("eavesdrop='true'"), HasSubstr("eavesdrop"));
    EXPECT_THAT(with("destination='org.recap1'"), HasSubstr("without it the rule has all"));
    EXPECT_THAT(with("type='method_call'"), HasSubstr("only signals"));
    EXPECT_THAT(with("path='/a',path_namespace='/b'"), HasSubstr("exclude each other"));
    EXPECT_THAT(with("member='Begun'"), HasSubstr("'member' is there twice"));
    EXPECT_THAT(textOf("sender='org.example.Backup',member='Backup.Done'"), HasSubstr("no signal's name"));
    EXPECT_THAT(textOf("sender='org.example.Backup',interface='Backup'"), HasSubstr("interface 'Backup' is none"));
    for (const std::string path : {"org", "//", "/a//b", "/a/", "/a-b"})
        EXPECT_THAT(with("path='" + path + "'"), HasSubstr("no object path")) << path;
    EXPECT_THAT(with("arg0namespace='.org'"), HasSubstr("beginning of no name"));
    for (const std::string key :
         {"arg", "arg64", "arg-1", "arg00", "arg1x", "arg1namespace", "arg0path ", "Member", "interfaces", "arg99999999999"})
        EXPECT_THAT(with(key + "='x'"), HasSubstr("unknown key '" + key + "'")) << key;
}

TEST(MatchRule, TellsWhereItsFormIsWrong) {
    const auto with = [](const std::string& more) { return textOf(std::string(kSent) + more); };
    EXPECT_THAT(with(","), HasSubstr("behind the last comma"));
    EXPECT_THAT(with(",arg0"), HasSubstr("a key and ="));
    EXPECT_THAT(with(",='x'"), HasSubstr("a key and ="));
    EXPECT_THAT(with(",arg0='x"), HasSubstr("has no ' at its end"));
    EXPECT_THAT(with(",arg0='x\\''"), HasSubstr("backslash"));
    EXPECT_THAT(with(",arg0='x'\\'''"), HasSubstr("backslash"));
    EXPECT_THAT(with(",arg0='" + std::string(1000, 'x') + "'"), HasSubstr("the bus takes 1024"));
}

}  // namespace
}  // namespace recap::manifest
