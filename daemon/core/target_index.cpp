// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/target_index.hpp"

#include <algorithm>

namespace recap {
namespace {

// Empty: the id has no namespace in front.
std::string_view tailOf(std::string_view id) {
    const auto slash = id.rfind('/');
    return slash == std::string_view::npos ? std::string_view() : id.substr(slash + 1);
}

template <class Map, class Key>
void erase(Map& map, const Key& key, const Target* target) {
    const auto [first, last] = map.equal_range(key);
    const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second == target; });
    if (found != last) map.erase(found);
}

template <class Map, class Key>
std::vector<const Target*> all(const Map& map, const Key& key) {
    std::vector<const Target*> found;
    const auto [first, last] = map.equal_range(key);
    for (auto it = first; it != last; ++it) found.push_back(it->second);
    return found;
}

// In the order of their ids, each once.
std::vector<const Target*> sorted(std::vector<const Target*> targets) {
    std::sort(targets.begin(), targets.end(), [](const Target* a, const Target* b) { return a->id < b->id; });
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    return targets;
}

}  // namespace

void TargetIndex::add(const Target& target) {
    if (!target.name.empty()) names_.emplace(target.name, &target);
    for (const auto& alias : target.aliases) names_.emplace(alias, &target);
    ids_.emplace(target.id.id, &target);
    if (const auto tail = tailOf(target.id.id); !tail.empty()) tails_.emplace(tail, &target);
    if (target.pid > 0) pids_.emplace(target.pid, &target);
}

void TargetIndex::remove(const Target& target) {
    erase(names_, std::string_view(target.name), &target);
    for (const auto& alias : target.aliases) erase(names_, std::string_view(alias), &target);
    erase(ids_, std::string_view(target.id.id), &target);
    erase(tails_, tailOf(target.id.id), &target);
    erase(pids_, target.pid, &target);
}

std::vector<const Target*> TargetIndex::named(std::string_view name) const { return sorted(all(names_, name)); }

std::vector<const Target*> TargetIndex::prefixed(std::string_view prefix) const {
    std::vector<const Target*> found;
    for (const auto* map : {&ids_, &tails_})
        for (auto it = map->lower_bound(prefix); it != map->end() && it->first.starts_with(prefix); ++it) found.push_back(it->second);
    return sorted(std::move(found));
}

std::vector<const Target*> TargetIndex::ofProcess(pid_t pid) const { return sorted(all(pids_, pid)); }

}  // namespace recap
