// SPDX-License-Identifier: Apache-2.0
// What `recapctl run` says when its run is over.
#pragma once

#include <optional>
#include <string>

#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/json.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

struct RunReport {
    std::string id;
    recap::client::RunEnd end;
    bool interrupted = false;  // by the caller's Ctrl-C: a killed run is no news then
    recap::client::Rows artifacts;
    std::optional<recap::Error> artifactsFailure;
    std::optional<std::string> standardOutput;  // with --json: what recapd kept
    std::optional<std::string> standardError;
};

// The whole of what recapd kept of both streams.
void collectOutput(recap::client::Client& client, RunReport& report);
recap::Result<std::string> keptOutput(recap::client::Client& client, const std::string& run, const std::string& stream);

// "planned 0.41, attached 1.90, …, total 8.40": milliseconds from each phase to the next.
std::string phasesInWords(const recap::client::Dict& phases);
// What has to be said even without -v; empty: nothing.
std::string complaint(const RunReport& report);
// Of a run that was under way, what it changed of the files that it saw, which its target never had: a line each, as many as a
// person reads.
std::string changesInWords(const RunReport& report);
Json toJson(const RunReport& report);

int printReport(const RunReport& report, bool verbose, const Style& style);
int printAccepted(const std::string& id, const Style& style);

}  // namespace recapctl
