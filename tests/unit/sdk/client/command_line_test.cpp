// SPDX-License-Identifier: Apache-2.0
// The program as a user meets it, on a machine where no bus can be reached: usage, refusals, exit statuses, JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"

namespace {

using namespace recap::test;
using testing::HasSubstr;

CommandResult recapctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), (binDir() / "recapctl").string());
    return run(Command{.argv = std::move(arguments), .env = {{"DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus"}}});
}

TEST(CommandLine, HelpIsOnStandardOutputAndSucceeds) {
    for (const auto& arguments :
         {std::vector<std::string>{"--help"}, {"run", "--help"}, {"shell", "--help"}, {"image", "import", "--help"}}) {
        const auto result = recapctl(arguments);
        EXPECT_EQ(result.status, 0) << result.all();
        EXPECT_THAT(result.out, HasSubstr("Usage:"));
        EXPECT_EQ(result.err, "");
    }
}

TEST(CommandLine, HelpNamesEveryVerb) {
    const auto result = recapctl({"--help"});
    for (const char* verb : {"run", "shell", "targets", "capsules", "capsule", "plan", "runs", "show", "logs", "artifacts", "attach",
                             "stop", "image", "backends", "policies", "schedule", "events", "doctor"})
        EXPECT_THAT(result.out, HasSubstr(std::string("\n  ") + verb + " ")) << verb;
}

TEST(CommandLine, WrongUsageIs125AndNamesTheWord) {
    const std::pair<std::vector<std::string>, const char*> cases[] = {
        {{}, "subcommand"},
        {{"frobnicate"}, "'frobnicate'"},
        {{"run"}, "CAPSULE"},
        {{"run", "ps"}, "TARGET"},
        {{"run", "ps", "web", "--frob"}, "--frob"},
        {{"run", "ps", "web", "--timeout", "soon"}, "'soon'"},
        {{"run", "ps", "web", "extra"}, "extra"},
        {{"run", "ps", "web", "--detach", "--output", "x"}, "--detach"},
        {{"run", "ps", "web", "--selector", "a=b"}, "--selector"},
        {{"run", "ps", "web", "--now"}, "--now"},
        {{"run", "ps", "--now", "--selector", "a=b"}, "--now"},
        {{"run", "ps", "--now", "--", "x"}, "--now"},
        {{"shell"}, "TARGET"},
        {{"shell", "web", "--view", "write"}, "--view"},
        {{"shell", "web", "--processes", "all"}, "--processes"},
        {{"shell", "web", "-t", "-T"}, "--tty"},
        {{"shell", "web", "--"}, "COMMAND"},
        {{"run", "ps", "web", "--all"}, "--all"},
        {{"run", "ps", "--parallel", "3", "web"}, "--parallel"},
        {{"run", "ps", "--selector", "a=b", "--tty"}, "--tty"},
        {{"run", "ps", "--all", "--output", "x"}, "--output"},
        {{"targets", "--", "x"}, "'--'"},
        {{"targets", "--label", "plain"}, "'plain'"},
        {{"capsule", "install", "/nonexistent/capsule.toml"}, "/nonexistent/capsule.toml"},
        {{"capsule"}, "subcommand"},
        {{"stop", "X", "--grace", "soon"}, "'soon'"},
        {{"logs", "X", "--stream", "stdin"}, "stdin"},
    };
    for (const auto& [arguments, word] : cases) {
        const auto result = recapctl(arguments);
        EXPECT_EQ(result.status, 125) << word;
        EXPECT_EQ(result.out, "") << word;
        EXPECT_THAT(result.err, HasSubstr(word));
        EXPECT_THAT(result.err, testing::StartsWith("recapctl: "));
    }
}

TEST(CommandLine, WithJsonStandardOutputHoldsOnlyJson) {
    for (const auto& arguments : {std::vector<std::string>{"--json"},
                                  {"targets", "--json"},
                                  {"run", "ps", "web", "--json"},
                                  {"--json", "run"},
                                  {"frobnicate", "--json"},
                                  {"shell", "web", "--json"},
                                  {"runs", "--frob", "--json"}}) {
        const auto result = recapctl(arguments);
        EXPECT_EQ(result.status, 125) << result.all();
        EXPECT_EQ(result.err, "") << result.all();
        const auto json = nlohmann::json::parse(result.out, nullptr, false);
        ASSERT_TRUE(json.is_object()) << result.all();
        EXPECT_EQ(json.value("schema", 0), 1);
        EXPECT_TRUE(json.at("error").at("code").is_string());
        EXPECT_FALSE(json.at("error").at("message").get<std::string>().empty());
    }
}

TEST(CommandLine, AnUnreachableBusIsNamed) {
    const auto result = recapctl({"targets"});
    EXPECT_EQ(result.status, 125);
    EXPECT_THAT(result.err, HasSubstr("/nonexistent/bus"));
}

TEST(CommandLine, DoctorFindsThatRecapdIsAway) {
    const auto result = recapctl({"doctor"});
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.out, HasSubstr("failed  recapd"));
}

TEST(CommandLine, EventsTakeATimeAndSayWhatIsNone) {
    EXPECT_THAT(recapctl({"events", "--since", "yesterday"}).err, HasSubstr("--since: "));
    const auto asked = recapctl({"events", "-f", "--capsule", "ps", "--target", "docker:web", "--since", "2h"});
    EXPECT_EQ(asked.status, 125);
    EXPECT_THAT(asked.err, HasSubstr("/nonexistent/bus")) << "all of it is taken";
}

TEST(CommandLine, AShellIsForSomebodyWhoSitsAtIt) {
    const auto json = nlohmann::json::parse(recapctl({"--json", "shell", "web"}).out);
    EXPECT_THAT(json.at("error").at("message").get<std::string>(), HasSubstr("recapctl run --json shell TARGET -- COMMAND"));
    const auto asked = recapctl({"shell", "web", "--view", "none", "--user", "1:2", "--image", "a:1", "--", "id", "--help"});
    EXPECT_THAT(asked.err, HasSubstr("/nonexistent/bus")) << "all of it is taken";
}

TEST(CommandLine, ArgumentsAfterDashesAreTheCapsulesOwn) {
    const auto result = recapctl({"run", "ps", "web", "--", "--help", "--json"});
    EXPECT_EQ(result.status, 125) << "no bus, and neither help nor JSON";
    EXPECT_THAT(result.err, HasSubstr("/nonexistent/bus"));
    EXPECT_EQ(result.out, "");
}

TEST(CommandLine, CompletionNeverComplains) {
    const auto verbs = recapctl({"__complete", "ca"});
    EXPECT_EQ(verbs.status, 0);
    EXPECT_EQ(verbs.out, "capsules\ncapsule\n");
    const auto dynamic = recapctl({"__complete", "run", ""});
    EXPECT_EQ(dynamic.status, 0);
    EXPECT_EQ(dynamic.out + dynamic.err, "");
    EXPECT_THAT(recapctl({"__complete", "run", "--"}).out, HasSubstr("--timeout\n"));
    EXPECT_THAT(recapctl({"__complete", "run", "--d"}).out, HasSubstr("--detach\n"));
}

}  // namespace
