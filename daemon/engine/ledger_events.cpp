// SPDX-License-Identifier: Apache-2.0
// What the ledger knows of events: which of them a capsule has a row for. An index has the rows that an event started, and no others.
#include "daemon/engine/ledger.hpp"
#include "daemon/engine/ledger_rows.hpp"

namespace recap {
namespace {

// Rows that were cut stand for all of theirs that came before, on one target: these end no later than the one that is their cause.
// The "+" has SQLite go by the end of runs, of which a few minutes are asked for.
constexpr const char* kUnchained =
    "WITH told (place, upto) AS MATERIALIZED (SELECT cut.target, MAX(last.ended) FROM runs AS cut JOIN runs AS last ON last.id = cut.cause "
    "WHERE cut.capsule = ? AND cut.event = 'run-finished' AND cut.cause != '' AND cut.outcome = 'skipped' AND cut.started >= ? "
    "GROUP BY cut.target) "
    "SELECT id, target, outcome, exit_code FROM runs LEFT JOIN told ON place = target "
    "WHERE +capsule = ? AND ended > 0 AND ended >= ? AND ended <= ? AND ended > COALESCE(upto, 0) AND NOT EXISTS (SELECT 1 FROM runs AS "
    "later "
    "WHERE later.capsule = ? AND later.event = 'run-finished' AND later.cause = runs.id AND later.cause != '') ORDER BY ended LIMIT ?";

}  // namespace

Result<bool> Ledger::hasEvent(const std::string& capsule, const Occurrence& occurrence, std::uint64_t since) const {
    Statement statement(reader_.get(),
                        "SELECT 1 FROM runs WHERE capsule = ? AND event = ? AND cause = ? AND cause != '' AND started >= ? LIMIT 1");
    statement.bind(capsule).bind(occurrence.on).bind(occurrence.cause).bind(since);
    const bool found = statement.step();
    if (auto read = statement.outcome("ledger: read events"); !read) return forward(std::move(read));
    return found;
}

Result<std::vector<EndedRun>> Ledger::unchained(const std::string& capsule, const std::string& by, std::uint64_t since, std::uint64_t until,
                                                std::uint32_t limit) const {
    Statement statement(reader_.get(), kUnchained);
    statement.bind(by).bind(since).bind(capsule).bind(since).bind(until).bind(by).bind(std::int64_t{limit});
    std::vector<EndedRun> ended;
    while (statement.step()) {
        EndedRun& run = ended.emplace_back();
        run.id = statement.text();
        run.target = statement.text();
        run.outcome = outcomeNamed(statement.text());
        run.exitCode = static_cast<int>(statement.number());
    }
    if (auto read = statement.outcome("ledger: read chains"); !read) return forward(std::move(read));
    return ended;
}

Result<std::uint64_t> Ledger::lastEnd() const {
    Statement statement(reader_.get(), "SELECT MAX(ended) FROM runs");
    const std::uint64_t last = statement.step() ? statement.number() : 0;
    if (auto read = statement.outcome("ledger: read ends"); !read) return forward(std::move(read));
    return last;
}

}  // namespace recap
