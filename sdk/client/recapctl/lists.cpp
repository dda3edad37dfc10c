// SPDX-License-Identifier: Apache-2.0
// Verbs that print one table of what recapd knows.
#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

Column labels() {
    return {"LABELS", [](const Dict& row) {
                std::string all;
                for (const auto& [key, value] : row.dict("labels"))
                    if (const auto* is = std::get_if<std::string>(&value.is)) all += (all.empty() ? "" : ",") + key + "=" + *is;
                return all;
            }};
}

// "running (healthy)"; of a backend that is away it is the last that was heard.
std::string stateInWords(const Dict& row) {
    std::string words(row.text("state"));
    std::string more(row.dict("details").text("health"));
    if (row.flag("stale")) more += more.empty() ? "stale" : ", stale";
    return more.empty() ? words : words + " (" + more + ")";
}

struct TargetOptions {
    std::string backend;
    std::vector<std::string> labels;
};

int listTargets(const Style& style, const TargetOptions& options) {
    Dict filter;
    if (!options.backend.empty()) filter.set("backend", options.backend);
    client::Labels wanted;
    for (const auto& label : options.labels) {
        const auto equals = label.find('=');
        if (equals == std::string::npos) return complain({Errc::InvalidArgument, "--label takes KEY=VALUE, not '" + label + "'"}, style);
        wanted[label.substr(0, equals)] = label.substr(equals + 1);
    }
    if (!wanted.empty()) filter.set("labels", wanted);
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<Rows>(style, client.targets(filter), [&](Rows& rows) {
            const std::vector<Column> columns{text("TARGET", "target"),
                                              text("NAME", "name"),
                                              {"STATE", stateInWords},
                                              number("PID", "pid"),
                                              text("IMAGE", "image"),
                                              text("RUNTIME", "runtime"),
                                              labels()};
            return printRows(columns, rows, "targets", style);
        });
    });
}

using Listing = Result<Rows> (client::Client::*)();

void addListing(Cli& cli, const char* name, const char* description, Listing listing, std::vector<Column> columns) {
    cli.top.verb(name, description, [&cli, name, listing, columns = std::move(columns)] {
        return withClient(cli.style, [&](client::Client& client) {
            return unlessFailed<Rows>(cli.style, (client.*listing)(),
                                      [&](Rows& rows) { return printRows(columns, rows, name, cli.style); });
        });
    });
}

// Also of use when recapd is what does not work.
Rows examine() {
    auto client = client::Client::connect();
    auto rows = client ? client->doctor() : Result<Rows>(tl::unexpected(client.error()));
    if (rows) return *rows;
    return {Dict{{"check", "recapd"},
                 {"status", "failed"},
                 {"detail", rows.error().message},
                 {"advice", "systemctl status recapd; journalctl -u recapd"}}};
}

int doctor(const Style& style) {
    const Rows rows = examine();
    const std::vector<Column> columns{text("STATUS", "status"), text("CHECK", "check"), text("FOUND", "detail"), text("ADVICE", "advice")};
    const int printed = printRows(columns, rows, "checks", style);
    if (printed != kSuccess) return printed;
    for (const auto& row : rows)
        if (row.text("status") == "failed") return kFindings;
    return kSuccess;
}

}  // namespace

void addLists(Cli& cli) {
    auto options = std::make_shared<TargetOptions>();
    cli.top.verb("targets", "List the containers that capsules can run on", [&cli, options] { return listTargets(cli.style, *options); })
        .option("--backend", options->backend, "Only this backend's")
        .list("-l,--label", options->labels, "Only those with this label: KEY=VALUE; may be repeated");
    addListing(
        cli, "backends", "List the backends: the worlds of containers, and whether each is ready", &client::Client::backends,
        {text("NAME", "name"), text("PLUGIN", "plugin"), text("STATE", "state"), number("TARGETS", "targets"), text("DETAIL", "detail")});
    addListing(cli, "policies", "List the policies that narrow what capsules may do", &client::Client::policies,
               {text("NAME", "name"), text("DESCRIPTION", "description"), text("PATH", "path"), text("PROBLEM", "problem")});
    cli.top.verb("doctor", "Check what this machine offers, by trying; exit 1 where something does not work",
                 [&cli] { return doctor(cli.style); });
}

}  // namespace recapctl
