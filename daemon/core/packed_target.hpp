// SPDX-License-Identifier: Apache-2.0
// A target that is known, but not listed, in one block: it is looked up by its words until it may be listed after all.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "daemon/core/target.hpp"

namespace recap {

// What a target is found by; borrowed from it.
struct TargetWords {
    std::string_view backend, id, name, runtime;
    pid_t pid = 0;
    std::uint64_t startTime = 0;
    TargetId targetId() const { return {std::string(backend), std::string(id)}; }
};
inline TargetWords wordsOf(const Target& target) {
    return {target.id.backend, target.id.id, target.name, target.runtime, target.pid, target.startTime};
}
inline std::vector<std::string_view> aliasesOf(const Target& target) { return {target.aliases.begin(), target.aliases.end()}; }

class PackedTarget {
public:
    PackedTarget() = default;
    explicit PackedTarget(const Target& target);

    // All but what recapd found itself: tenant, pidfd and facts.
    Target unpacked() const;
    TargetWords words() const;
    std::vector<std::string_view> aliases() const;

private:
    std::unique_ptr<char[]> block_;  // a Head, then texts, each behind its length
};

}  // namespace recap
