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
bool isAtOrBelow(std::string_view path, std::string_view folder);

// The plan as such: sizes, forms, and what this version supports (Errc::NotSupported names it).
Result<void> checkShape(const Plan& plan);
// The plan within the ceiling, for this target.
Result<void> checkCeiling(const Plan& plan, const Ceiling& ceiling, const TargetFacts& facts);
// The target is what the plan expects, and nothing that is joined or shown is the host's, but what checkHost() lets pass. `features`:
// bits of Feature that this launcher has.
Result<void> checkTarget(const Plan& plan, const TargetFacts& facts, const HostIds& host, const Ceiling& ceiling, std::uint64_t features);
// Of that, what a watch expects too; the sentence where it is not so.
Result<void> checkExpected(const TargetFacts& facts, std::uint64_t startTime, const std::string& cgroup);
tl::unexpected<Error> targetChanged(const std::string& what);

// watch_checks.cpp: a watch as such, and within the ceiling; that its target is the one expected, and a container.
Result<void> checkWatch(const WatchRequest& watch, const Ceiling& ceiling);
Result<void> checkWatched(const WatchRequest& watch, const TargetFacts& facts, const HostIds& host);

// host.cpp
Result<void> checkHost(const Plan& plan, const TargetFacts& facts, const HostIds& host, const Ceiling& ceiling, std::uint64_t features);
std::uint32_t usedNamespaces(const Plan& plan);                       // bits of what the plan joins, looks at or shows
std::uint32_t hostNamespaces(const Plan& plan, const HostIds& host);  // those of them that are expected to be the host's
bool needsScope(std::uint32_t bits);                                  // whether a capsule there is kept within its bounds by Landlock
bool reachesFiles(const Plan& plan);                                  // of the target
// One descriptor given for stdio: a pipe, socket or /dev/null, and open in the direction that is needed.
Result<void> checkStdio(int fd, int number, const Plan& plan);
// One of a stream that is attached from the start, which the supervisor itself uses: a unix stream socket.
Result<void> checkAttached(int fd, int number, const Plan& plan);

}  // namespace recap::launcher
