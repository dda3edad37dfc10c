// SPDX-License-Identifier: Apache-2.0
// How capsules fare that start by themselves: one that fails again and again is left alone for a while. No clock. Owned by the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "daemon/core/runs.hpp"

namespace recap {

class Health {
public:
    enum class Word { Good, Bad, None };  // None: it says nothing of the capsule
    // `stopped`: somebody asked for its end.
    static Word wordOf(const RunReport& report, bool stopped);

    // Until when the run is not to be; 0: it may. A batch that has begun goes on to its end. Another revision of the capsule starts anew.
    std::uint64_t backedOffUntil(const RunRequest& request, std::uint64_t revision, std::uint64_t now);
    // Of a run that has ended. Those of one batch are one failure together, and none where one of them succeeds. True: the capsule is
    // left alone from now on.
    bool note(const RunRequest& request, Word word, std::uint64_t revision, std::uint64_t now);
    CapsuleHealth of(const std::string& capsule, std::uint64_t revision, std::uint64_t now) const;

private:
    struct Capsule {
        std::uint32_t failures = 0;
        std::uint64_t until = 0;     // CLOCK_REALTIME, µs
        std::uint64_t revision = 0;  // 0: it was not known
        std::string failed;          // the batch that failed last
        std::string begun;           // the batch that was let through last
    };
    std::unordered_map<std::string, Capsule> capsules_;       // that have failed
    std::unordered_map<std::string, std::string> succeeded_;  // by capsule: the batch that succeeded last
};

}  // namespace recap
