// SPDX-License-Identifier: Apache-2.0
// The command line: one function a verb group adds its verbs, and what they do. Only the group that is asked for is added, all
// of them for --help.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sdk/cli/verb.hpp"
#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

using recap::cli::Verb;

struct Cli {
    Verb top{"recapctl", "Run management functions on running containers, and leave nothing behind"};
    Style style;
    bool noLegend = false;
    std::vector<std::string> passed;  // what stands after "--", for the capsule
    bool hasPassed = false;
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
void addLists(Cli& cli);  // targets backends policies doctor
void addSchedule(Cli& cli);
void addCapsules(Cli& cli);  // capsules, capsule install|remove|enable|disable|show
void addAttach(Cli& cli);
void addRuns(Cli& cli);  // runs show logs stop
void addArtifacts(Cli& cli);
void addImages(Cli& cli);  // image import|list|remove|scan
void addShell(Cli& cli);
void addEvents(Cli& cli);

// The whole program but the process around it. `arguments` without the program's name.
int runCommandLine(std::vector<std::string> arguments);

}  // namespace recapctl
