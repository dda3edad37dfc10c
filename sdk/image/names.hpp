// SPDX-License-Identifier: Apache-2.0
// Names from archives, which strangers wrote, as paths that may be used. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "sdk/base/result.hpp"
#include "sdk/image/limits.hpp"

namespace recap::image {

// A name fit for a message: quoted, control characters and bytes over 0x7e escaped, cut after 160 characters.
std::string shown(std::string_view name);

// "./usr//bin/" -> "usr/bin"; "" is the root itself. Refused, with a sentence naming the entry: empty and absolute names,
// "..", NUL, what is over a limit.
Result<std::string> cleanName(std::string_view raw, const Limits& limits);

// "usr/bin/x" -> {"usr/bin", "x"}; "x" -> {"", "x"}.
std::pair<std::string_view, std::string_view> splitPath(std::string_view path);

// OCI layers say by a name's form what a lower layer's entry no longer is.
struct Whiteout {
    enum class Kind { None, Name, Opaque } kind = Kind::None;
    std::string hidden;  // for Name: the path that is hidden
};
// Of a clean name. Refused: whiteouts of nothing, "." and "..", aufs' own records, and entries below a whiteout.
Result<Whiteout> whiteoutOf(std::string_view path);

}  // namespace recap::image
