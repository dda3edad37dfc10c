// SPDX-License-Identifier: Apache-2.0
// What callers say of a run, whether it is one or one of a batch.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/bus/options.hpp"
#include "daemon/core/run.hpp"

namespace recap::bus {

Result<void> checkSizes(const std::string& capsule, const std::vector<std::string>& args);
Result<Lifetime> lifetimeOf(const std::string& word);
Result<std::chrono::microseconds> timeoutOf(std::optional<std::uint64_t> timeout);
// What of the capsule's manifest the caller wants otherwise.
Result<Adjustments> adjustmentsOf(Options& options);

}  // namespace recap::bus
