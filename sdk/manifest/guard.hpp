// SPDX-License-Identifier: Apache-2.0
// Bounds on a TOML text that hold before a parser sees it. toml++ 3.3 recurses once a dotted segment and once a bracket,
// without end: a few hundred kilobytes of "a.a.a…" or "[[[[…" end the process that reads them.
#pragma once

#include <optional>
#include <string_view>

#include "sdk/manifest/diagnostic.hpp"

namespace recap::manifest {

inline constexpr std::size_t kMaxText = 64 * 1024;
inline constexpr std::size_t kMaxSegments = 16;  // of one dotted key or table header
inline constexpr std::size_t kMaxDepth = 8;      // of arrays and inline tables within each other

struct GuardFinding {
    Position position;
    std::string message;
};

// Nothing: the text is safe to parse. Strings and comments are told apart as TOML 1.0 does; a text whose strings do not
// end is refused here, so that parser and guard can't disagree about what is inside one.
std::optional<GuardFinding> guard(std::string_view text);

}  // namespace recap::manifest
