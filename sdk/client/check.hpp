// SPDX-License-Identifier: Apache-2.0
// What stands against sending a value, by name: libdbus ends the process over text that is not UTF-8, and the bus closes the
// connection over what is too large or nested too deeply.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sdk/base/result.hpp"
#include "sdk/client/recap/value.hpp"

namespace recap::client {

inline constexpr int kMaxDepth = 16;                    // of containers in containers; D-Bus itself allows 64
inline constexpr std::size_t kMaxArguments = 32 << 20;  // the system bus closes the connection of who sends a larger message

// `size` grows by about what the value will take in a message.
Result<void> check(const Dict& dict, std::size_t& size);
Result<void> check(const Strings& strings, std::size_t& size);
Result<void> check(const std::string& text, std::size_t& size);
Result<void> check(BorrowedFd fd, std::size_t& size);
inline Result<void> check(std::uint32_t, std::size_t&) { return {}; }
inline Result<void> check(std::uint64_t, std::size_t&) { return {}; }

}  // namespace recap::client
