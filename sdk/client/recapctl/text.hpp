// SPDX-License-Identifier: Apache-2.0
// Text for people, made of bytes that somebody else chose: names and labels of targets are escaped before they meet a
// terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recapctl {

// Control bytes, bytes that are no UTF-8, and characters that turn or hide text around them (U+0080–9F, bidirectional
// controls, zero width) as \xNN; a backslash as \\ so that nothing can be mistaken for an escape.
std::string escaped(std::string_view text);
bool isUtf8(std::string_view text);
std::size_t width(std::string_view escapedText);  // in characters

std::string bytes(std::uint64_t count);                // "64 MiB", "1.5 GiB", "812 B"
std::string milliseconds(std::uint64_t microseconds);  // "0.41"
std::string span(std::uint64_t microseconds);          // "30 s", "1.5 s", "250 ms"
std::string localTime(std::uint64_t microseconds);     // "2026-01-31 14:05:09"
std::string base64(std::string_view data);

// Of a capsule, a plan or a run that is "untrusted".
inline constexpr const char* kUntrusted = "the target may trace the capsule: what it reports is not to be trusted";

// "30s", "1m30s", "250ms", "2h", or a plain number of seconds ("5", "0.5").
recap::Result<std::chrono::microseconds> parseDuration(std::string_view text);
// So long before `now`, or a date of this place: "2026-01-31", "2026-01-31 14:05", "2026-01-31 14:05:09", with T for the space, and
// with Z at its end UTC's. Microseconds of the epoch.
recap::Result<std::uint64_t> parseMoment(const std::string& text, std::uint64_t now);

}  // namespace recapctl
