// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/schedule.hpp"

#include "sdk/client/recapctl/cli.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;
using client::Dict;
using client::Rows;

namespace {

std::string spanOf(const Dict& row, std::string_view key) { return span(static_cast<std::uint64_t>(row.number(key))); }

Column time(std::string head, std::string key) {
    return {std::move(head), [key = std::move(key)](const Dict& row) {
                return row.number(key) > 0 ? localTime(static_cast<std::uint64_t>(row.number(key))) : std::string();
            }};
}

std::string eventInWords(const Dict& row) {
    std::string more;
    for (const char* key : {"resource", "path", "match", "on-capsule", "outcome"})
        if (row.has(key)) more += (more.empty() ? "" : ", ") + std::string(row.text(key));
    if (row.has("stall")) more += ", " + spanOf(row, "stall") + " in " + spanOf(row, "window");
    return "on " + std::string(row.text("on")) + (more.empty() ? "" : " (" + more + ")");
}

std::string enabledInWords(const Dict& row) {
    if (!row.flag("enabled")) return "no";
    return (row.has("problem") ? "not running, for user " : "for user ") + std::to_string(row.number("enabler"));
}

std::string problemOf(const Dict& row) { return std::string(row.text(row.has("problem") ? "problem" : "unheard")); }

int listSchedule(const Style& style) {
    return withClient(style, [&](client::Client& client) {
        return unlessFailed<Rows>(style, client.schedule(), [&](Rows& rows) {
            const std::vector<Column> columns{text("CAPSULE", "capsule"), {"WHEN", whenInWords}, {"ENABLED", enabledInWords},
                                              time("NEXT", "next"),       time("LAST", "last"),  number("TARGETS", "targets"),
                                              {"PROBLEM", problemOf}};
            return printRows(columns, rows, "schedule", style);
        });
    });
}

}  // namespace

std::string whenInWords(const Dict& row) {
    if (!row.has("trigger")) return "unknown";
    if (row.text("trigger") != "periodic") return eventInWords(row);
    const std::string times = row.has("calendar") ? "calendar " + std::string(row.text("calendar")) : "every " + spanOf(row, "every");
    return times + (row.has("randomized-delay") ? ", up to " + spanOf(row, "randomized-delay") + " later" : "");
}

std::string scheduleInWords(client::Client& client, const std::string& capsule) {
    std::string words;
    const auto say = [&](const char* what, const std::string& how) { words += std::string(what) + escaped(how) + "\n"; };
    const auto schedule = client.schedule();
    if (!schedule) return "schedule      unknown: " + escaped(schedule.error().message) + "\n";
    for (const auto& row : *schedule) {
        if (row.text("capsule") != capsule) continue;
        if (words.empty()) say("enabled       ", enabledInWords(row));
        if (words.find("problem") == std::string::npos && row.has("problem")) say("problem       ", std::string(row.text("problem")));
        say("schedule      ", whenInWords(row));
        if (row.has("unheard")) say("unheard       ", std::string(row.text("unheard")));
        auto upcoming = row.numbers("upcoming");
        if (upcoming.empty() && row.has("next")) upcoming.push_back(static_cast<std::uint64_t>(row.number("next")));
        for (const auto next : upcoming) say(next == upcoming.front() ? "next          " : "              ", localTime(next));
        if (row.has("last")) say("last          ", localTime(static_cast<std::uint64_t>(row.number("last"))));
    }
    return words;
}

void addSchedule(Cli& cli) {
    cli.top.verb("schedule", "List what runs by itself: when next, on how many targets, by whose right",
                 [&cli] { return listSchedule(cli.style); });
}

}  // namespace recapctl
