// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/event_journal.hpp"

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "daemon/core/escaped.hpp"

namespace recap {
namespace {

constexpr const char* kSocket = "/run/systemd/journal/socket";  // sd_journal_sendv(3) is silent where it is not there
constexpr const char* kInfo = "6";
constexpr const char* kNotice = "5";

// "event oom", "its schedule".
std::string causeOf(Trigger trigger, const Occurrence* occurrence) {
    if (trigger == Trigger::Periodic) return "its schedule";
    return "event " + (occurrence != nullptr ? occurrence->on : std::string("of a kind that is not known any more"));
}

// What both records have. A fact is a stranger's word, and its key becomes no field.
JournalFields fieldsOf(std::string_view id, const char* priority, const std::string& message, const std::string& capsule, Trigger trigger,
                       const Occurrence* occurrence) {
    JournalFields fields{{"MESSAGE_ID", std::string(id)}, {"PRIORITY", priority},
                         {"SYSLOG_IDENTIFIER", "recapd"}, {"MESSAGE", message},
                         {"RECAP_CAPSULE", capsule},      {"RECAP_TRIGGER", std::string(name(trigger))}};
    if (occurrence == nullptr) return fields;
    fields.emplace_back("RECAP_EVENT", occurrence->on);
    if (!occurrence->cause.empty()) fields.emplace_back("RECAP_CAUSE", occurrence->cause);
    return fields;
}

}  // namespace

void writeToJournal(const JournalFields& fields) {
    if (::access(kSocket, F_OK) != 0) {
        const auto message = std::ranges::find(fields, "MESSAGE", &std::pair<std::string, std::string>::first);
        if (message != fields.end()) std::fprintf(stderr, SD_INFO "%s\n", escaped(message->second).c_str());
        return;
    }
    std::vector<std::string> texts;
    for (const auto& [key, value] : fields) texts.push_back(key + "=" + value);
    std::vector<iovec> parts;
    for (auto& text : texts) parts.push_back({text.data(), text.size()});
    (void)sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

void EventJournal::batchStarted(const BatchId& id) {
    const BatchRecord* batch = batches_.findBatch(id);
    if (batch == nullptr || batch->trigger == Trigger::OnDemand) return;
    const auto* occurrence = batch->occurrence.get();
    const std::string message = causeOf(batch->trigger, occurrence) + " starts capsule " + batch->capsule + " on " +
                                std::to_string(batch->rows.size()) + (batch->rows.size() == 1 ? " target" : " targets") + ": batch " + id;
    auto fields = fieldsOf(kMessageTriggered, kInfo, message, batch->capsule, batch->trigger, occurrence);
    fields.insert(fields.end(), {{"RECAP_RECORD", "TRIGGERED"}, {"RECAP_BATCH", id}, {"RECAP_UID", std::to_string(batch->caller.uid)}});
    write_(fields);
}

// Of one that is lost nobody knows whether the launcher had it.
void EventJournal::finished(const RunReport& report) {
    const RunRecord* run = report.outcome == Outcome::Lost ? nullptr : runs_.find(report.id);
    if (run == nullptr || run->handedOver || run->request.trigger == Trigger::OnDemand) return;
    const auto* occurrence = run->request.occurrence.get();
    const std::string where = run->target.empty() ? std::string() : " on " + run->target;
    const std::string message =
        causeOf(run->request.trigger, occurrence) + " does not start capsule " + run->request.capsule + where + ": " + report.detail;
    auto fields = fieldsOf(kMessageSkipped, kNotice, message, run->request.capsule, run->request.trigger, occurrence);
    fields.insert(fields.end(), {{"RECAP_RECORD", "SKIPPED"},
                                 {"RECAP_RUN_ID", report.id},
                                 {"RECAP_TARGET", run->target},
                                 {"RECAP_OUTCOME", std::string(name(report.outcome))}});
    if (!run->request.batch.empty()) fields.emplace_back("RECAP_BATCH", run->request.batch);
    write_(fields);
}

}  // namespace recap
