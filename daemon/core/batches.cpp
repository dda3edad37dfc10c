// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/batches.hpp"

#include <array>
#include <cstddef>

namespace recap {

std::map<std::string, std::uint32_t> counts(const BatchRecord& batch) {
    std::array<std::uint32_t, static_cast<std::size_t>(RunState::Finished) + 1> states{};
    std::array<std::uint32_t, static_cast<std::size_t>(Outcome::Skipped) + 1> outcomes{};
    for (const auto& row : batch.rows) {
        ++states[static_cast<std::size_t>(row.state)];
        if (row.state == RunState::Finished) ++outcomes[static_cast<std::size_t>(row.outcome)];
    }
    std::map<std::string, std::uint32_t> counted;
    for (std::size_t i = 0; i < states.size(); ++i)
        if (states[i] > 0) counted[std::string(name(static_cast<RunState>(i)))] = states[i];
    for (std::size_t i = 0; i < outcomes.size(); ++i)
        if (outcomes[i] > 0) counted[std::string(name(static_cast<Outcome>(i)))] = outcomes[i];
    return counted;
}

}  // namespace recap
