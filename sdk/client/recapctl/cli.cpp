// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/cli.hpp"

#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "sdk/client/recapctl/complete.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/json.hpp"

namespace recapctl {

namespace {

using Add = void (*)(Cli&);
struct Group {
    std::string_view verb;
    Add add;
};
constexpr Group kGroups[] = {
    {"run", addRun},          {"plan", addPlan},      {"targets", addLists},       {"capsules", addCapsules},
    {"capsule", addCapsules}, {"runs", addRuns},      {"show", addRuns},           {"logs", addRuns},
    {"stop", addRuns},        {"attach", addAttach},  {"artifacts", addArtifacts}, {"image", addImages},
    {"backends", addLists},   {"policies", addLists}, {"schedule", addSchedule},   {"doctor", addLists},
    {"shell", addShell},      {"events", addEvents},
};

// False: the first word is no verb.
bool addGroups(Cli& cli, const std::vector<std::string>& arguments) {
    const auto verb = std::ranges::find_if(arguments, [](const std::string& one) { return !one.starts_with('-'); });
    if (verb != arguments.end()) {
        for (const auto& group : kGroups)
            if (group.verb == *verb) {
                group.add(cli);
                return true;
            }
        return false;
    }
    std::vector<Add> added;
    for (const auto& group : kGroups)
        if (std::ranges::find(added, group.add) == added.end()) {
            group.add(cli);
            added.push_back(group.add);
        }
    return true;
}

std::string unknownVerb(const std::vector<std::string>& arguments) {
    const auto verb = std::ranges::find_if(arguments, [](const std::string& one) { return !one.starts_with('-'); });
    return "no verb '" + *verb + "' (recapctl --help lists them)";
}

void addGlobals(Cli& cli) {
    cli.top.flag("--json", cli.style.json, "Print one JSON object and nothing else, errors too")
        .flag("--no-legend", cli.noLegend, "Print no column heads")
        .footer(
            "A target is BACKEND:NAME-OR-ID (docker:web, process:4242), or a bare name where one backend has it.\n"
            "Exit status: the capsule's own for run, shell and attach; 124 timed out; 125 RECap's own failure; 126, 127 as a shell.");
}

}  // namespace

int withClient(const Style& style, const std::function<int(recap::client::Client&)>& body) {
    auto client = recap::client::Client::connect();
    if (!client) return complain(client.error(), style);
    client->setInteractive(::isatty(STDIN_FILENO) == 1);
    return body(*client);
}

int done(const Style& style, const recap::Result<void>& result) {
    if (!result) return complain(result.error(), style);
    return style.json ? print(line(document())) : kSuccess;
}

int runCommandLine(std::vector<std::string> arguments) {
    // Not the parser's: what is being typed is no command line yet.
    if (!arguments.empty() && arguments.front() == "__complete") return printCompletions({arguments.begin() + 1, arguments.end()});
    Cli cli;
    if (const auto dashes = std::ranges::find(arguments, "--"); dashes != arguments.end()) {
        cli.passed.assign(dashes + 1, arguments.end());
        cli.hasPassed = true;
        arguments.erase(dashes, arguments.end());
    }
    // Known before parsing, so that a complaint about the parsing is JSON already.
    cli.style.json = std::ranges::find(arguments, "--json") != arguments.end();
    cli.style.colour = !cli.style.json && mayColour(STDOUT_FILENO);
    addGlobals(cli);
    if (!addGroups(cli, arguments)) return complain({recap::Errc::InvalidArgument, unknownVerb(arguments)}, cli.style);
    auto chosen = cli.top.parse(std::move(arguments));
    if (!chosen) {
        if (!cli.style.json) chosen.error().message += " (recapctl --help says what there is)";
        return complain(chosen.error(), cli.style);
    }
    if (!chosen->text.empty()) return print(chosen->text);
    cli.style.legend = !cli.noLegend;
    if (cli.hasPassed && !chosen->verb->takesArguments())
        return complain(
            {recap::Errc::InvalidArgument, "nothing can stand after '--' here: only run, shell and plan pass arguments to a capsule"},
            cli.style);
    return chosen->verb->act();
}

}  // namespace recapctl
