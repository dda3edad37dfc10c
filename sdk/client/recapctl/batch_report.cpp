// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/batch_report.hpp"

#include <algorithm>
#include <map>

#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using recap::client::Dict;
using recap::client::Rows;

namespace {

constexpr std::string_view kRan[] = {"succeeded", "failed", "killed", "timed-out"};
constexpr std::size_t kOutcomeWidth = 11;  // "target-gone", "not-started"
constexpr std::size_t kExitWidth = 4;
constexpr std::size_t kRunWidth = 26;

// In the order in which people ask about them.
constexpr std::string_view kOutcomes[] = {"succeeded", "failed",      "killed", "timed-out", "target-gone",
                                          "denied",    "not-started", "lost",   "skipped"};

std::map<std::string, std::size_t, std::less<>> outcomesOf(const Rows& results) {
    std::map<std::string, std::size_t, std::less<>> counted;
    for (const auto& result : results)
        if (const auto outcome = result.text("outcome"); !outcome.empty()) ++counted[std::string(outcome)];
    return counted;
}

std::size_t succeededOf(const Rows& results) {
    return static_cast<std::size_t>(
        std::ranges::count_if(results, [](const Dict& result) { return result.text("outcome") == "succeeded"; }));
}

std::string padded(std::string text, std::size_t to) {
    text.append(to - std::min(to, width(text)), ' ');
    return text;
}

// docker:web rather than docker:3f2…, where only one is called so.
std::string byName(const Dict& result) {
    const std::string_view target = result.text("target"), name = result.text("name");
    return name.empty() ? std::string() : std::string(target.substr(0, target.find(':') + 1)) + std::string(name);
}

}  // namespace

int batchStatus(const Rows& results) {
    const std::size_t succeeded = succeededOf(results);
    if (succeeded == 0) return kNoneSucceeded;
    return succeeded == results.size() ? kSuccess : kSomeFailed;
}

BatchLines::BatchLines(const Rows& targets) : width_(std::string_view("TARGET").size()) {
    std::set<std::string> once;
    for (const auto& target : targets)
        if (auto name = byName(target); !name.empty() && !once.insert(name).second) twice_.insert(std::move(name));
    for (const auto& target : targets) width_ = std::max(width_, width(nameOf(target)));
}

std::string BatchLines::nameOf(const Dict& result) const {
    const std::string name = byName(result);
    return escaped(name.empty() || twice_.contains(name) ? std::string(result.text("target")) : name);
}

std::string BatchLines::inColumns(const std::string& target, const std::string& outcome, const std::string& exit, const std::string& run,
                                  const std::string& detail) const {
    std::string line = padded(target, width_) + "  " + padded(outcome, kOutcomeWidth) + "  " + padded(exit, kExitWidth) + "  " +
                       padded(run, kRunWidth) + "  " + detail;
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
}

std::string BatchLines::heads(const Style& style) const {
    if (!style.legend) return {};
    std::string line = inColumns("TARGET", "OUTCOME", "EXIT", "RUN", "DETAIL");
    return style.colour ? "\033[1m" + line.substr(0, line.size() - 1) + "\033[0m\n" : line;
}

std::string BatchLines::line(const Dict& result) const {
    const std::string_view outcome = result.text("outcome"), escape = result.text("escape");
    const bool ran = std::ranges::find(kRan, outcome) != std::end(kRan);
    std::string detail(result.text("detail"));
    if (!escape.empty() && escape != "clean") detail += (detail.empty() ? "escape: " : "; escape: ") + std::string(escape);
    const std::string run(result.text("run"));
    return inColumns(nameOf(result), escaped(outcome), ran ? std::to_string(result.number("exit-code")) : "-",
                     run.empty() ? "-" : escaped(run), escaped(detail));
}

std::string batchProgress(const Rows& results, const Dict& counts, std::chrono::seconds since) {
    std::size_t done = 0;
    for (const auto& [outcome, count] : outcomesOf(results)) done += count;
    std::string text = std::to_string(done) + " of " + std::to_string(results.size()) + " done";
    if (const auto running = counts.number("running") + counts.number("starting"); running > 0)
        text += ", " + std::to_string(running) + " running";
    if (const std::size_t others = done - succeededOf(results); others > 0) text += ", " + std::to_string(others) + " not succeeded";
    return text + ", " + std::to_string(since.count()) + " s";
}

std::string batchSummary(const Rows& results) {
    const auto counted = outcomesOf(results);
    std::string text = std::to_string(results.size()) + (results.size() == 1 ? " target: " : " targets: ");
    std::string rest;
    for (const auto outcome : kOutcomes)
        if (const auto found = counted.find(outcome); found != counted.end())
            rest += (rest.empty() ? "" : ", ") + std::to_string(found->second) + " " + std::string(outcome);
    return text + rest;
}

Json batchToJson(const std::string& id, const Rows& results) {
    Json json = document();
    json["id"] = id;
    json["exit_status"] = batchStatus(results);
    json["counts"] = Json::object();
    for (const auto& [outcome, count] : outcomesOf(results)) json["counts"][outcome] = count;
    json["results"] = toJson(results);
    return json;
}

}  // namespace recapctl
