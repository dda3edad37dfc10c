// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/event_lines.hpp"

#include <algorithm>

#include "sdk/client/recapctl/json.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using recap::client::Dict;
using recap::client::Rows;

namespace {

constexpr std::size_t kWhatWidth = 14;      // "target-removed"
constexpr std::size_t kMostBatches = 1000;  // whose capsules are known

bool isOfRun(std::string_view what) { return what.starts_with("run-"); }
bool isOfBatch(std::string_view what) { return what.starts_with("batch-"); }

// What never ran has no exit status.
std::string outcomeInWords(const Dict& run) {
    const std::string outcome(run.text("outcome"));
    if (outcome == "failed" || outcome == "killed") return outcome + " " + std::to_string(run.number("exit-code"));
    return outcome;
}

// "3 succeeded, 1 failed": a batch's counts have its targets' states, too.
std::string countsInWords(const Dict& counts) {
    std::string words;
    for (const auto& [key, value] : counts)
        if (key != "pending" && key != "starting" && key != "running" && key != "finished")
            words += (words.empty() ? "" : ", ") + std::to_string(counts.number(key)) + " " + key;
    return words.empty() ? "no targets" : words;
}

// By what it was started, where nobody asked for it.
std::string triggerInWords(const Dict& run) {
    const std::string trigger(run.text("trigger")), event(run.text("event"));
    if (trigger.empty() || trigger == "on-demand") return {};
    return "(" + (event.empty() ? trigger : event) + ")";
}

std::vector<std::string> words(const EventLine& event) {
    const Dict& details = event.details;
    const auto word = [&](const char* key) { return std::string(details.text(key)); };
    if (event.what == "recapd-gone") return {"recapd has ended; this goes on when it is back"};
    if (event.what == "recapd-back") return {"recapd is back"};
    if (event.what == "batch-finished") return {word("id"), word("capsule"), countsInWords(details.dict("counts"))};
    if (isOfBatch(event.what)) return {word("id"), word("capsule")};
    if (!isOfRun(event.what)) return {word("target"), word("name"), word("image")};
    const std::string detail = word("detail"), outcome = event.what == "run-finished" ? outcomeInWords(details) : std::string();
    const bool isSaid = event.what == "run-skipped" || (event.what == "run-finished" && word("outcome") != "succeeded");
    return {word("id"), word("capsule"), word("target"), outcome, triggerInWords(details), isSaid ? detail : std::string()};
}

// When its row was last changed, as far as that says: from its start to its end there is CLOCK_MONOTONIC only.
std::uint64_t lastTime(const Dict& run) {
    const Dict phases = run.dict("phases");
    const std::int64_t begin = phases.number("received"), end = std::max(phases.number("escaped"), phases.number("finished"));
    const std::int64_t took = run.text("state") == "finished" && begin > 0 && end > begin ? end - begin : 0;
    return static_cast<std::uint64_t>(run.number("started") + took);
}

std::string whatOf(const Dict& run) {
    if (run.text("state") == "finished") return run.text("outcome") == "skipped" ? "run-skipped" : "run-finished";
    return run.text("state") == "pending" ? "run-submitted" : "run-started";
}

}  // namespace

std::string inOneLine(const EventLine& event, const Style& style) {
    if (style.json) {
        Json json = document();
        json["what"] = event.what;
        json["time"] = event.time;
        json.update(toJson(event.details));
        return line(json);
    }
    std::string text = localTime(event.time) + "  " + event.what;
    text.append(kWhatWidth - std::min(kWhatWidth, event.what.size()), ' ');
    for (const auto& word : words(event))
        if (!word.empty()) text += "  " + escaped(word);
    return text + "\n";
}

std::vector<EventLine> EventLines::past(const Rows& runs) {
    std::vector<EventLine> events;
    for (const auto& run : runs) {
        EventLine event{lastTime(run), whatOf(run), run};
        if (isNews(event) && admits(event)) events.push_back(std::move(event));
    }
    std::ranges::stable_sort(events, {}, [](const EventLine& event) { return std::pair(event.time, event.details.text("id")); });
    return events;
}

std::optional<EventLine> EventLines::next(const recap::client::Happening& happening, std::uint64_t now) {
    EventLine event{now, happening.what, happening.details};
    if (isOfBatch(event.what)) return admitsBatch(event) ? std::optional(std::move(event)) : std::nullopt;
    if (!isOfRun(event.what)) return admits(event) ? std::optional(std::move(event)) : std::nullopt;
    const bool isNew = isNews(event);
    if (event.what == "run-finished") runs_.erase(std::string(event.details.text("id")));  // it comes once
    if (const auto batch = event.details.text("batch"); !batch.empty()) batches_[std::string(batch)] = event.details.text("capsule");
    if (batches_.size() > kMostBatches) batches_.erase(batches_.begin());  // the eldest: ids are by time
    if (event.details.text("outcome") == "skipped") event.what = "run-skipped";
    return isNew && admits(event) ? std::optional(std::move(event)) : std::nullopt;
}

std::vector<std::string> EventLines::underWay() const {
    std::vector<std::string> ids;
    for (const auto& [id, stage] : runs_)
        if (stage != Stage::Finished) ids.push_back(id);
    return ids;
}

bool EventLines::isNews(const EventLine& event) {
    const Stage stage = event.what == "run-submitted" ? Stage::Submitted : event.what == "run-started" ? Stage::Started : Stage::Finished;
    const auto [known, isNew] = runs_.emplace(event.details.text("id"), stage);
    if (!isNew && known->second >= stage) return false;
    known->second = stage;
    return true;
}

bool EventLines::admits(const EventLine& event) const {
    if (event.what.starts_with("recapd-")) return true;
    if (!filter_.target.empty() && event.details.text("target") != filter_.target) return false;
    return filter_.capsule.empty() || event.details.text("capsule") == filter_.capsule;
}

bool EventLines::admitsBatch(EventLine& event) {
    auto known = batches_.extract(std::string(event.details.text("id")));
    if (!known.empty()) event.details.set("capsule", known.mapped());
    return admits(event);
}

}  // namespace recapctl
