// SPDX-License-Identifier: Apache-2.0
// What targets are looked up by, so that a lookup costs the same with ten of them as with thousands. Holds views into the targets:
// each stays where it is, and as it is, from add() to remove().
#pragma once

#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/core/target.hpp"

namespace recap {

class TargetIndex {
public:
    void add(const Target& target);
    void remove(const Target& target);

    std::vector<const Target*> named(std::string_view name) const;  // by name or alias
    // Those whose id begins so; where ids have a namespace in front ("k8s.io/3f2a…"), with it or without.
    std::vector<const Target*> prefixed(std::string_view prefix) const;
    std::vector<const Target*> ofProcess(pid_t pid) const;

private:
    std::unordered_multimap<std::string_view, const Target*> names_;
    std::multimap<std::string_view, const Target*> ids_;
    std::multimap<std::string_view, const Target*> tails_;  // ids without their namespace
    std::unordered_multimap<pid_t, const Target*> pids_;
};

}  // namespace recap
