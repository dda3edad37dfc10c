// SPDX-License-Identifier: Apache-2.0
// What a signal says, as the facts of an occurrence: words for a capsule's environment, of a size that is bounded.
#pragma once

#include <systemd/sd-bus.h>

#include <cstddef>
#include <map>
#include <string>

namespace recap::bus {

inline constexpr std::size_t kMostSignalBytes = 3072;  // of all facts, with their keys
inline constexpr unsigned kMostArguments = 16;

// "sender" (of the connection), "path", "interface", "member", "signature", and "arg0", "arg1", …: what is text in D-Bus (s, o, g) as it
// is, anything else as JSON (an array of dictionary entries is an object, a descriptor null). Arguments in their order, as many as there
// is room for; where some are left out, "cut" is "true". `message` is at its beginning, and is not afterwards.
std::map<std::string, std::string> signalFacts(sd_bus_message* message);

}  // namespace recap::bus
