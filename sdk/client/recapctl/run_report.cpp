// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/run_report.hpp"

#include <algorithm>

#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using namespace recap;

namespace {

constexpr std::uint32_t kChunk = 1 << 20;

// By its D-Bus name or by the last part of it.
Errc named(std::string_view error) {
    error.remove_prefix(error.rfind('.') + 1);  // "org.recap1.Error.NotFound"
    for (auto code = static_cast<std::uint32_t>(Errc::InvalidArgument); code <= static_cast<std::uint32_t>(kLastErrc); ++code)
        if (name(static_cast<Errc>(code)) == error) return static_cast<Errc>(code);
    return Errc::Internal;
}

}  // namespace

Result<std::string> keptOutput(client::Client& client, const std::string& run, const std::string& stream) {
    std::string all;
    for (;;) {
        auto chunk = client.output(run, stream, all.size(), kChunk);
        if (!chunk) return forward(std::move(chunk));
        all += chunk->data;
        if (chunk->end || chunk->data.empty()) return all;
    }
}

void collectOutput(client::Client& client, RunReport& report) {
    if (auto out = keptOutput(client, report.id, "stdout")) report.standardOutput = std::move(*out);
    if (auto err = keptOutput(client, report.id, "stderr")) report.standardError = std::move(*err);
}

std::string phasesInWords(const client::Dict& phases) {
    constexpr const char* kOrder[] = {"received", "planned", "attached", "executing", "finished", "escaped"};
    const std::int64_t first = phases.number(kOrder[0]);
    std::int64_t before = first;
    std::string words;
    for (const char* phase : kOrder) {
        if (phase == kOrder[0] || !phases.has(phase)) continue;
        const std::int64_t at = phases.number(phase);
        words += std::string(phase) + " " + milliseconds(static_cast<std::uint64_t>(std::max<std::int64_t>(at - before, 0))) + ", ";
        before = at;
    }
    return words + "total " + milliseconds(static_cast<std::uint64_t>(std::max<std::int64_t>(before - first, 0)));
}

std::string complaint(const RunReport& report) {
    const std::string& outcome = report.end.outcome;
    const std::string detail(report.end.details.text("detail"));
    const std::string escape(report.end.details.text("escape"));
    std::string says;
    if (outcome == "killed")
        says = report.interrupted ? "" : detail;
    else if (outcome != "succeeded" && outcome != "failed")
        says = "run " + report.id + ": " + outcome + (detail.empty() ? "" : ": " + detail);
    if (!escape.empty() && escape != "clean") says += (says.empty() ? "" : "\n") + ("escape: " + escape);
    if (report.artifactsFailure) says += (says.empty() ? "" : "\n") + report.artifactsFailure->message;
    return says;
}

std::string changesInWords(const RunReport& report) {
    constexpr std::size_t kShown = 20;
    constexpr const char* kRan[] = {"succeeded", "failed", "killed", "timed-out"};
    const client::Dict& details = report.end.details;
    if (std::ranges::find(kRan, report.end.outcome) == std::end(kRan) || !details.has("written")) return {};
    auto written = details.strings("written");
    const bool more = !written.empty() && written.back() == "...";
    if (more) written.pop_back();
    if (written.empty() && !more) return "recapctl: nothing was changed\n";
    const std::string count =
        (more ? "more than " : "") + std::to_string(written.size()) + (written.size() == 1 && !more ? " file" : " files");
    std::string words = "recapctl: " + count + " changed in the run's view, none in the target:\n";
    for (std::size_t i = 0; i < std::min(written.size(), kShown); ++i) {
        const std::string& line = written[i];
        words +=
            (line.starts_with("D ") ? "  deleted  " : "  changed  ") + escaped(line.substr(std::min<std::size_t>(2, line.size()))) + "\n";
    }
    if (more || written.size() > kShown) words += "  and more: recapctl show " + report.id + "\n";
    return words;
}

Json toJson(const RunReport& report) {
    Json json = document();
    json["id"] = report.id;
    json["outcome"] = report.end.outcome;
    json["exit_code"] = report.end.exitCode;
    json["exit_status"] = exitStatus(report.end);
    const std::string error(report.end.details.text("error"));
    json.update(toJson(report.end.details));
    if (error.empty())
        json.erase("error");
    else
        json["error"] = toJson(Error{named(error), std::string(report.end.details.text("detail"))});
    if (report.standardOutput) setBytes(json, "stdout", *report.standardOutput);
    if (report.standardError) setBytes(json, "stderr", *report.standardError);
    if (!report.artifacts.empty()) json["artifacts"] = toJson(report.artifacts);
    if (report.artifactsFailure) json["error"] = toJson(*report.artifactsFailure);
    return json;
}

int printReport(const RunReport& report, bool verbose, const Style& style) {
    int status = exitStatus(report.end);
    if (report.artifactsFailure && status == kSuccess) status = kOwnFailure;
    if (style.json) {
        const int printed = print(line(toJson(report)));
        return printed == kSuccess ? status : printed;
    }
    if (const std::string says = complaint(report); !says.empty()) note(says);
    if (!verbose) return status;
    const client::Dict& details = report.end.details;
    std::string words = "run " + report.id + ": " + report.end.outcome + ", exit " + std::to_string(report.end.exitCode) + "\n";
    words += "phases (ms): " + phasesInWords(details.dict("phases")) + "\n";
    words += "escape: " + escaped(details.text("escape")) + "\n";
    if (details.flag("untrusted")) words.append("untrusted: ").append(kUntrusted).append("\n");
    writeAll(2, words);
    return status;
}

int printAccepted(const std::string& id, const Style& style) {
    if (!style.json) return print(id + "\n");
    Json json = document();
    json["id"] = id;
    return print(line(json));
}

}  // namespace recapctl
