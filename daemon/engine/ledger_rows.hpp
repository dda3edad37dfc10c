// SPDX-License-Identifier: Apache-2.0
// A run as a row, and back: the one place that knows the columns.
#pragma once

#include "daemon/core/runs.hpp"
#include "daemon/engine/sqlite.hpp"

namespace recap {

extern const char* const kLedgerSchema;  // of the first version
inline constexpr std::uint64_t kLedgerVersion = 7;
extern const char* const kLedgerUpgrades[kLedgerVersion - 1];  // from the first version to the second, and so on
extern const char* const kUpsertRun;
extern const char* const kSelectRun;  // to be followed by WHERE

void bindRun(Statement& statement, const RunRecord& run, std::uint64_t ended);
RunRecord readRun(Statement& statement);
Outcome outcomeNamed(const std::string& name);  // what is none: lost

}  // namespace recap
