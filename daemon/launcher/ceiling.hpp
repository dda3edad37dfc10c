// SPDX-License-Identifier: Apache-2.0
// The host administrator's outer bound, as the launcher reads it: recap-compile-ceiling makes the flat file from
// /etc/recap/ceiling.toml; a missing key there means the default here. Wider than the ceiling is refused with the key's name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/launcher/protocol.hpp"
#include "sdk/base/result.hpp"

namespace recap::launcher {

// CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE NET_ADMIN NET_RAW IPC_LOCK (capability numbers)
inline constexpr std::uint64_t kDefaultCapabilities = (1ull << 0) | (1ull << 1) | (1ull << 2) | (1ull << 3) | (1ull << 4) | (1ull << 5) |
                                                      (1ull << 6) | (1ull << 7) | (1ull << 10) | (1ull << 12) | (1ull << 13) | (1ull << 14);

// Those of the host's that a ceiling may let be joined (pid: looked at). The others are the host's files, its rights and its cgroups.
inline constexpr std::uint32_t kHostNamespaces = kNsPid | kNsNet | kNsIpc | kNsUts | kNsTime;

enum class LimitsMode : std::uint8_t { Enforced = 0, BestEffort = 1 };
constexpr auto last(LimitsMode) { return LimitsMode::BestEffort; }

struct Ceiling {
    // key in ceiling.toml beside each
    std::uint32_t namespaces = kNsPid | kNsNet | kNsIpc | kNsUts | kNsUser | kNsCgroup | kNsTime;  // namespaces = ["net", …]
    std::uint32_t hostNamespaces = 0;  // host-namespaces = ["net", …]: may be joined where a target shares them with the host
    std::uint32_t processes = 0b111;   // processes = ["none", "observe", "join"]; bit = number of Processes
    std::uint32_t views = 0b0111;      // views = ["none", "read-only", "merged"]; bit = number of View; write is refused by default
    std::vector<std::string> writes;   // writes = ["/var/log"]: paths (and below) that view = "write" may name
    std::uint64_t capabilities = kDefaultCapabilities;  // capabilities = ["CAP_NET_RAW", …]
    std::uint32_t watch = 0b111;                        // watch = ["oom", "pressure", "file"]; bit = number of WatchKind
    bool freeze = false;                                // freeze: a target may be stopped while a capsule looks at it
    bool rootUser = false;  // root-user: uid or gid 0, CAP_SETUID and CAP_SETGID where the target's own process is not root
    LimitsMode limits = LimitsMode::Enforced;               // limits = "enforced" | "best-effort"
    std::uint64_t maxMemory = 2ull << 30;                   // [max] memory
    std::uint32_t maxCpuMilli = 4000;                       // [max] cpu
    std::uint32_t maxPids = 4096;                           // [max] pids
    std::uint64_t maxScratch = 1ull << 30;                  // [max] scratch
    std::uint64_t maxTimeoutUsec = 24ull * 3600 * 1000000;  // [max] timeout
    std::uint64_t maxGraceUsec = 60ull * 1000000;           // [max] grace
    std::uint64_t maxArtifacts = 1ull << 30;                // [max] artifacts
    std::uint64_t maxLog = 64ull << 20;                     // [max] log
    std::uint64_t noFile = 1024;                            // [max] open-files
    std::uint32_t maxRuns = 4096;                           // [max] runs: capsules alive at once
    std::uint64_t estateKeepUsec = 3600ull * 1000000;       // estate-keep: how long an unacknowledged log, artifacts and report are held
    std::uint64_t estateMax = 1ull << 30;                   // estate-max: bytes of all of them together; as many of live logs
};

template <class A>
void fields(A& a, Ceiling& v) {
    a(v.namespaces, v.hostNamespaces, v.processes, v.views, v.writes, v.capabilities, v.watch, v.freeze, v.rootUser, v.limits, v.maxMemory,
      v.maxCpuMilli, v.maxPids, v.maxScratch, v.maxTimeoutUsec, v.maxGraceUsec, v.maxArtifacts, v.maxLog, v.noFile, v.maxRuns,
      v.estateKeepUsec, v.estateMax);
}

std::string encodeCeiling(const Ceiling& ceiling);
Result<Ceiling> decodeCeiling(std::string_view bytes);

}  // namespace recap::launcher
