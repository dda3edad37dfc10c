// SPDX-License-Identifier: Apache-2.0
// Words of the checks' refusals.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap::launcher {

// What a ceiling refuses, and what would allow it: root's word in one file.
tl::unexpected<Error> denied(std::string_view key, const std::string& what);

std::string namespaceNames(std::uint32_t mask);
std::string capabilityNames(std::uint64_t mask);

}  // namespace recap::launcher
