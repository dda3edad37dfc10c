// SPDX-License-Identifier: Apache-2.0
// The small languages inside strings: sizes, durations, users, names, paths. Each parser takes the whole string or fails.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::manifest {

// "64M": bytes, or with K, M, G, T (powers of 1024). Never 0.
Result<std::uint64_t> parseSize(std::string_view text);
std::string formatSize(std::uint64_t bytes);  // "64 MiB"

// As systemd.time(7): "30s", "1h 30min", "1.5d"; a bare number is seconds. Never 0, never "infinity".
Result<std::chrono::microseconds> parseDuration(std::string_view text);
std::string formatDuration(std::chrono::microseconds duration);  // "1h 30min"

// "target", "root", or "UID:GID" in plain decimal: no names, no signs, no spaces, no leading zeros, below 2^32 - 1.
Result<User> parseUser(std::string_view text);
std::string formatUser(const User& user);

// "recap >= 0.1" against this version; an unmet or unknown requirement fails with a sentence.
Result<void> checkRequirement(std::string_view requirement, std::string_view recapVersion);

bool hasControl(std::string_view text);
// Quoted for a message, control characters escaped, long texts cut.
std::string printable(std::string_view text);
std::string printableKey(std::string_view text);

// Checks for TableReader: what is wrong, or empty.
std::string checkName(std::string_view text);  // a-z 0-9 -, 1 to 63, no leading -
std::string checkNotEmpty(std::string_view text);
std::string checkCalendar(std::string_view text);      // form only, as systemd.time(7): nothing that a unit file would read otherwise
std::string checkPath(std::string_view text);          // absolute, no "..", no empty parts, at most 4095
std::string checkRelativePath(std::string_view text);  // as above, but below where the file stands
std::string checkVersion(std::string_view text);
std::string checkReference(std::string_view text);  // an image's
std::string checkEnvName(std::string_view text);
std::string checkLabelKey(std::string_view text);
std::string checkSyscall(std::string_view text);       // form only: which exist depends on the machine
std::string checkSyscallGroup(std::string_view text);  // "@network-io"; form only
std::string checkPackage(std::string_view text);       // a Debian package, "name" or "name=version"

}  // namespace recap::manifest
