// SPDX-License-Identifier: Apache-2.0
// The command line: one function a verb group adds its verbs to the parser, and leaves behind what to do. Only the group
// that is asked for is added (building all of it would cost every run), all of them for --help.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

struct Cli {
    CLI::App& app;
    Style style;
    bool noLegend = false;
    std::vector<std::string> passed;  // what stands after "--", for the capsule
    bool hasPassed = false;
    std::function<int()> action;
    bool takesArguments = false;  // of the verb that was chosen

    Cli(CLI::App& parser) : app(parser) {}

    // A verb that calls `act` with its options parsed. `parent` is null for a verb of recapctl itself.
    CLI::App* verb(CLI::App* parent, const std::string& name, const std::string& description, std::function<int()> act,
                   bool arguments = false);
};

// Connects, then does `body` with the client, or complains.
int withClient(const Style& style, const std::function<int(recap::client::Client&)>& body);

// What a call's result comes to: a complaint, or body(value).
template <class T>
int unlessFailed(const Style& style, recap::Result<T> result, const std::function<int(T&)>& body) {
    return result ? body(*result) : complain(result.error(), style);
}
int done(const Style& style, const recap::Result<void>& result);  // with --json an object that says nothing but the schema

void addRun(Cli& cli);
void addPlan(Cli& cli);
void addLists(Cli& cli);     // targets backends policies schedule doctor
void addCapsules(Cli& cli);  // capsules, capsule install|remove|enable|disable|show
void addRuns(Cli& cli);      // runs show logs stop attach
void addArtifacts(Cli& cli);
void addImages(Cli& cli);  // image import|list|remove|scan
void addLater(Cli& cli);   // shell events: declared, not in this version

// The whole program but the process around it. `arguments` without the program's name.
int runCommandLine(std::vector<std::string> arguments);

}  // namespace recapctl
