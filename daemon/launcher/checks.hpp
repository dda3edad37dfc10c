// SPDX-License-Identifier: Apache-2.0
// What the launcher checks by itself, every time, before anything happens. Pure: a plan, facts and the ceiling in, a sentence
// out. recapd's word is used only to choose among what the ceiling allows.
#pragma once

#include <span>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

bool isRunId(std::string_view text);   // 26 characters of Crockford's base 32
bool isDigest(std::string_view text);  // 64 lower-case hex digits
// Absolute, no empty, "." or ".." component, no control character; "/" itself is one.
bool isPlainPath(std::string_view path);

// The plan as such: sizes, forms, and what this version supports (Errc::NotSupported names it).
Result<void> checkShape(const Plan& plan);
// The plan within the ceiling, for this target.
Result<void> checkCeiling(const Plan& plan, const Ceiling& ceiling, const TargetFacts& facts);
// The target is what the plan expects, and nothing that is joined or shown is the host's.
Result<void> checkTarget(const Plan& plan, const TargetFacts& facts, const HostIds& host);
// One descriptor given for stdio: a pipe, socket or /dev/null, and open in the direction that is needed.
Result<void> checkStdio(int fd, int number, const Plan& plan);
// One of a stream that is attached from the start, which the supervisor itself uses: a unix stream socket.
Result<void> checkAttached(int fd, int number, const Plan& plan);

}  // namespace recap::launcher
