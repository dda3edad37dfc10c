// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/events.hpp"

namespace recap {

std::string chainLoop(const CapsuleInfo& changed, const std::vector<const CapsuleInfo*>& capsules) {
    std::map<std::string, const CapsuleInfo*> byName;
    for (const CapsuleInfo* capsule : capsules) byName[capsule->name] = capsule;
    byName[changed.name] = &changed;
    // From what is waited for to who waits: a depth-first walk against the arrows, which ends where it began.
    std::vector<std::string> path;
    std::set<std::string> seen;
    const std::function<bool(const std::string&)> leadsBack = [&](const std::string& name) {
        const auto found = byName.find(name);
        if (found == byName.end() || !seen.insert(name).second) return false;
        path.push_back(name);
        for (const auto& event : found->second->schedule.events) {
            if (event.on != "run-finished") continue;
            if (event.capsule == changed.name || leadsBack(event.capsule)) return true;
        }
        path.pop_back();
        return false;
    };
    if (!leadsBack(changed.name)) return {};
    std::string text = changed.name;
    for (auto it = path.rbegin(); it != path.rend(); ++it) text += " -> " + *it;
    return text;
}

}  // namespace recap
