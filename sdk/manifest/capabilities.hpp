// SPDX-License-Identifier: Apache-2.0
// The capabilities of Linux by name and number (capabilities(7); numbers are the kernel's ABI).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recap::manifest {

inline constexpr std::size_t kCapabilities = 41;

// "CAP_NET_RAW" -> 13; exactly as written.
std::optional<std::uint32_t> capabilityNumber(std::string_view name);
// "CAP_NET_RAW" for 13; "CAP_63" beyond the table.
std::string capabilityName(std::uint32_t number);
const std::vector<std::string_view>& capabilityNames();  // index = number
std::vector<std::string> capabilityNames(std::uint64_t mask);

}  // namespace recap::manifest
