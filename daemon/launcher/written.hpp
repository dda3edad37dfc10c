// SPDX-License-Identifier: Apache-2.0
// What a capsule with view = "merged" wrote, read from its copy-on-write layer after its end.
#pragma once

#include <string>
#include <vector>

#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

// Report::written of the layer whose folder `upper` is; it is the launcher's alone by now. Sorted by path. At most kMostWritten,
// and "..." where there is more. Without what is only there to be mounted on, or to hold what is listed.
std::vector<std::string> whatIsWritten(int upper, const Plan& plan);

inline constexpr std::size_t kMostWritten = 256;
inline constexpr std::size_t kMostWrittenBytes = 32 * 1024;
inline constexpr std::size_t kMostWrittenSeen = 16384;  // entries looked at: the supervisor does nothing else meanwhile
inline constexpr unsigned kMostWrittenDepth = 64;

}  // namespace recap::launcher
