// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/ledger_rows.hpp"

#include <algorithm>

namespace recap {

#define RECAP_LEDGER_COLUMNS                                                                                                        \
    "id, capsule, target, caller, lifetime_of, args, started, ended, state, outcome, exit_code, error, detail, received, planned, " \
    "attached, executing, finished, escaped, left_behind, cpu_usec, memory_peak, pids_peak, out_of_memory, log_bytes, "             \
    "log_truncated, artifacts, unenforced, omitted, written, files_until, cpu_system_usec, untrusted, tenant, "                     \
    "started_by, batch, event, cause"

const char* const kLedgerSchema =
    "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, capsule TEXT NOT NULL, target TEXT NOT NULL, caller INTEGER NOT NULL, "
    "lifetime_of TEXT NOT NULL, args BLOB NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT "
    "NOT NULL, "
    "exit_code INTEGER NOT NULL, error INTEGER NOT NULL, detail TEXT NOT NULL, received INTEGER NOT NULL, planned INTEGER NOT NULL, "
    "attached INTEGER NOT NULL, executing INTEGER NOT NULL, finished INTEGER NOT NULL, escaped INTEGER NOT NULL, "
    "left_behind BLOB NOT NULL, cpu_usec INTEGER NOT NULL, memory_peak INTEGER NOT NULL, pids_peak INTEGER NOT NULL, "
    "out_of_memory INTEGER NOT NULL, log_bytes INTEGER NOT NULL, log_truncated INTEGER NOT NULL, artifacts INTEGER NOT NULL, "
    "unenforced BLOB NOT NULL, omitted BLOB NOT NULL) WITHOUT ROWID, STRICT;"
    "CREATE INDEX IF NOT EXISTS unfinished ON runs (id) WHERE ended = 0;"
    "CREATE INDEX IF NOT EXISTS by_end ON runs (ended);";
// What older runs have left is kept for as long as a manifest says by itself, a week. An index ends with the id, which is what
// a list is ordered by.
const char* const kLedgerUpgrades[] = {
    "BEGIN IMMEDIATE;"
    "ALTER TABLE runs ADD COLUMN files_until INTEGER NOT NULL DEFAULT 0;"
    "UPDATE runs SET files_until = ended + 604800000000 WHERE ended != 0 AND (log_bytes != 0 OR artifacts != 0);"
    "CREATE INDEX with_files ON runs (files_until) WHERE files_until > 0;"
    "CREATE INDEX by_capsule ON runs (capsule);"
    "CREATE INDEX by_target ON runs (target);"
    "CREATE INDEX by_outcome ON runs (outcome);"
    "PRAGMA user_version = 2;"
    "COMMIT;",
    // What was written is a list of none for every run so far: nothing could be.
    "BEGIN IMMEDIATE;"
    "ALTER TABLE runs ADD COLUMN written BLOB NOT NULL DEFAULT x'';"
    "PRAGMA user_version = 3;"
    "COMMIT;",
    "BEGIN IMMEDIATE;"
    "ALTER TABLE runs ADD COLUMN cpu_system_usec INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version = 4;"
    "COMMIT;",
    // Of older runs it is not known, and so not said.
    "BEGIN IMMEDIATE;"
    "ALTER TABLE runs ADD COLUMN untrusted INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version = 5;"
    "COMMIT;",
    // Older runs are nobody's: no tenants were kept.
    "BEGIN IMMEDIATE;"
    "ALTER TABLE runs ADD COLUMN tenant TEXT NOT NULL DEFAULT '';"
    "PRAGMA user_version = 6;"
    "COMMIT;",
    // Nothing but a caller started runs before. Of an event it is kept what kind it was and which, not its facts.
    "BEGIN IMMEDIATE;"
    "ALTER TABLE runs ADD COLUMN started_by TEXT NOT NULL DEFAULT 'on-demand';"
    "ALTER TABLE runs ADD COLUMN batch TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN event TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN cause TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX by_batch ON runs (batch) WHERE batch != '';"
    "CREATE INDEX by_cause ON runs (capsule, event, cause) WHERE cause != '';"
    "CREATE INDEX unasked ON runs (started_by) WHERE started_by != 'on-demand';"
    "PRAGMA user_version = 7;"
    "COMMIT;"};
const char* const kUpsertRun = "INSERT OR REPLACE INTO runs (" RECAP_LEDGER_COLUMNS
                               ") VALUES (?,?,?,?,?,CAST(? AS BLOB),?,?,?,?,?,?,?,?,?,?,?,?,?,CAST(? AS BLOB),?,?,?,?,?,?,?,CAST(? AS "
                               "BLOB),CAST(? AS BLOB),CAST(? AS BLOB),?,?,?,?,?,?,?,?)";
const char* const kSelectRun = "SELECT " RECAP_LEDGER_COLUMNS " FROM runs ";

namespace {

// Strings, each ended by a NUL: none of ours holds one (they travel as D-Bus strings).
std::string pack(const std::vector<std::string>& strings) {
    std::string packed;
    for (const auto& text : strings) packed.append(text).push_back('\0');
    return packed;
}

std::vector<std::string> unpack(std::string_view packed) {
    std::vector<std::string> strings;
    while (!packed.empty()) {
        const auto end = std::min(packed.find('\0'), packed.size());
        strings.emplace_back(packed.substr(0, end));
        packed.remove_prefix(std::min(end + 1, packed.size()));
    }
    return strings;
}

template <class Enum>
Enum fromName(const std::string& text, Enum last, Enum otherwise) {
    for (int i = 0; i <= static_cast<int>(last); ++i) {
        if (name(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
    }
    return otherwise;
}

}  // namespace

Outcome outcomeNamed(const std::string& name) { return fromName(name, Outcome::Skipped, Outcome::Lost); }

void bindRun(Statement& statement, const RunRecord& run, std::uint64_t ended) {
    const RunReport& report = run.report;
    const std::string_view outcome = ended == 0 ? std::string_view() : name(report.outcome);
    statement.bind(run.id).bind(run.request.capsule).bind(run.target).bind(std::int64_t{run.request.caller.uid});
    statement.bind(run.request.lifetime == Lifetime::Caller ? run.request.caller.busName : std::string());
    statement.bind(pack(run.request.args))
        .bind(run.started)
        .bind(ended)
        .bind(name(ended == 0 ? run.state : RunState::Finished))
        .bind(outcome);
    statement.bind(std::int64_t{report.exitCode}).bind(static_cast<std::int64_t>(report.error)).bind(report.detail);
    statement.bind(run.phases.received).bind(run.phases.planned).bind(run.phases.attached).bind(run.phases.executing);
    statement.bind(run.phases.finished).bind(run.phases.escaped).bind(pack(report.left)).bind(report.cpuUsec).bind(report.memoryPeak);
    statement.bind(report.pidsPeak).bind(std::int64_t{report.outOfMemory}).bind(report.logBytes).bind(std::int64_t{report.logTruncated});
    statement.bind(std::int64_t{report.hasArtifacts})
        .bind(pack(report.unenforcedLimits))
        .bind(pack(report.omittedMounts))
        .bind(pack(report.written))
        .bind(run.filesUntil)
        .bind(report.cpuSystemUsec)
        .bind(std::int64_t{run.untrusted})
        .bind(run.tenant)
        .bind(name(run.request.trigger))
        .bind(run.request.batch)
        .bind(run.request.occurrence ? run.request.occurrence->on : std::string())
        .bind(run.request.occurrence ? run.request.occurrence->cause : std::string());
}

RunRecord readRun(Statement& statement) {
    RunRecord run;
    RunReport& report = run.report;
    run.id = report.id = statement.text();
    run.request.capsule = statement.text();
    run.target = run.request.target = statement.text();
    run.request.caller.uid = static_cast<std::uint32_t>(statement.number());
    run.request.caller.busName = statement.text();
    run.request.lifetime = run.request.caller.busName.empty() ? Lifetime::Detached : Lifetime::Caller;
    run.request.args = unpack(statement.text());
    run.started = statement.number();
    statement.number();
    run.state = fromName(statement.text(), RunState::Finished, RunState::Pending);
    report.outcome = outcomeNamed(statement.text());
    report.exitCode = static_cast<int>(statement.number());
    report.error = static_cast<Errc>(statement.number());
    report.detail = statement.text();
    for (auto* phase : {&run.phases.received, &run.phases.planned, &run.phases.attached, &run.phases.executing, &run.phases.finished,
                        &run.phases.escaped})
        *phase = statement.number();
    report.phases = run.phases;
    report.left = unpack(statement.text());
    for (auto* number : {&report.cpuUsec, &report.memoryPeak, &report.pidsPeak}) *number = statement.number();
    report.outOfMemory = statement.number() != 0;
    report.logBytes = statement.number();
    report.logTruncated = statement.number() != 0;
    report.hasArtifacts = statement.number() != 0;
    report.unenforcedLimits = unpack(statement.text());
    report.omittedMounts = unpack(statement.text());
    report.written = unpack(statement.text());
    run.filesUntil = statement.number();
    report.cpuSystemUsec = statement.number();
    run.untrusted = statement.number() != 0;
    run.tenant = statement.text();
    run.request.trigger = fromName(statement.text(), Trigger::Periodic, Trigger::OnDemand);
    run.request.batch = statement.text();
    const std::string event = statement.text(), cause = statement.text();
    if (!event.empty()) run.request.occurrence = std::make_shared<const Occurrence>(Occurrence{event, run.started, cause, {}});
    return run;
}

}  // namespace recap
