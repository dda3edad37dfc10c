// SPDX-License-Identifier: Apache-2.0
// The manifest's words for the values of a sandbox, for messages and `describe`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/run.hpp"
#include "daemon/core/sandbox.hpp"

namespace recap::plan {

std::string_view word(Processes processes);
std::string_view word(View view);
std::string_view word(OnViolation action);
std::vector<std::string> namespaceWords(std::uint32_t bits);  // index = number of the bit; "mnt" last
std::string describeUser(const SandboxSpec& sandbox);         // "\"root\"", "1000:1000"
std::string formatCpu(std::uint32_t milli);                   // "0.5"
std::string join(const std::vector<std::string>& words);      // "a, b, c"

// What the run will see and touch, and what was taken from it by whom; one sentence each.
std::vector<std::string> describe(const RunPlan& plan);

}  // namespace recap::plan
