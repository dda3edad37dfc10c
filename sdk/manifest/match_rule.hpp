// SPDX-License-Identifier: Apache-2.0
// The match rule of an event "dbus-signal" (D-Bus specification, "Match Rules"). Stricter than the bus: it has to say whose signals
// count, by a name that the bus lets few own, since any user of the machine can send a signal that looks like another's.
#pragma once

#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap::manifest {

struct MatchRule {
    std::string text;    // "type='signal'" and the keys that were given, each quoted, in one order: alike where the rules are
    std::string sender;  // a well-known name
};

// InvalidArgument: the sentence names the rule, the key and what would do.
Result<MatchRule> parseMatchRule(std::string_view text);
std::string checkMatchRule(std::string_view text);  // for TableReader: what is wrong, or empty

}  // namespace recap::manifest
