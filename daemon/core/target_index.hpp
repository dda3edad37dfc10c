// SPDX-License-Identifier: Apache-2.0
// What targets are looked up by, so that a lookup costs the same with ten of them as with thousands. Holds no words of its own: an
// item is where it is, and called as it is called, from add() to remove(); how it keeps its words may change.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/core/packed_target.hpp"

namespace recap {

// Of an Item there are wordsOf() and aliasesOf().
template <class Item>
class IndexOf {
public:
    void add(Item& item) {
        const TargetWords words = wordsOf(item);
        if (!words.name.empty()) names_.emplace(hashOf(words.name), &item);
        for (const auto alias : aliasesOf(item)) names_.emplace(hashOf(alias), &item);
        addTo<idOf>(ids_, item);
        if (!tailOf(item).empty()) addTo<tailOf>(tails_, item);
        if (words.pid > 0) pids_.emplace(words.pid, &item);
    }

    void remove(Item& item) {
        const TargetWords words = wordsOf(item);
        names_.erase({hashOf(words.name), &item});
        for (const auto alias : aliasesOf(item)) names_.erase({hashOf(alias), &item});
        removeFrom<idOf>(ids_, item);
        if (!tailOf(item).empty()) removeFrom<tailOf>(tails_, item);
        pids_.erase({words.pid, &item});
    }

    // By name or alias.
    std::vector<Item*> named(std::string_view name) const {
        auto found = all(names_, hashOf(name));
        std::erase_if(found, [&](Item* item) { return !isCalled(*item, name); });
        return sorted(std::move(found));
    }

    // Those whose id begins so; where ids have a namespace in front ("k8s.io/3f2a…"), with it or without.
    std::vector<Item*> prefixed(std::string_view prefix) const {
        std::vector<Item*> found;
        for (auto it = from<idOf>(ids_, prefix); it != ids_.end() && idOf(**it).starts_with(prefix); ++it) found.push_back(*it);
        for (auto it = from<tailOf>(tails_, prefix); it != tails_.end() && tailOf(**it).starts_with(prefix); ++it) found.push_back(*it);
        return sorted(std::move(found));
    }

    std::vector<Item*> ofProcess(pid_t pid) const { return sorted(all(pids_, pid)); }

private:
    static std::size_t hashOf(std::string_view name) { return std::hash<std::string_view>()(name); }
    static std::string_view idOf(const Item& item) { return wordsOf(item).id; }
    // Empty: the id has no namespace in front.
    static std::string_view tailOf(const Item& item) {
        const std::string_view id = idOf(item);
        const auto slash = id.rfind('/');
        return slash == std::string_view::npos ? std::string_view() : id.substr(slash + 1);
    }
    static bool isCalled(const Item& item, std::string_view name) {
        if (wordsOf(item).name == name) return true;
        const auto aliases = aliasesOf(item);
        return std::find(aliases.begin(), aliases.end(), name) != aliases.end();
    }

    template <auto key>
    static auto from(const std::vector<Item*>& items, std::string_view wanted) {
        return std::lower_bound(items.begin(), items.end(), wanted, [](Item* item, std::string_view text) { return key(*item) < text; });
    }
    template <auto key>
    static void addTo(std::vector<Item*>& items, Item& item) {
        items.insert(from<key>(items, key(item)), &item);
    }
    template <auto key>
    static void removeFrom(std::vector<Item*>& items, Item& item) {
        const auto found = std::find(from<key>(items, key(item)), items.cend(), &item);
        if (found != items.cend()) items.erase(found);
    }
    // Many may have one name: each is found, and goes, without a look at the others.
    template <class Key>
    using Several = std::set<std::pair<Key, Item*>>;
    template <class Key>
    static std::vector<Item*> all(const Several<Key>& several, const Key& key) {
        std::vector<Item*> found;
        for (auto it = several.lower_bound({key, nullptr}); it != several.end() && it->first == key; ++it) found.push_back(it->second);
        return found;
    }
    // In the order of their ids, each once.
    static std::vector<Item*> sorted(std::vector<Item*> items) {
        if (items.size() < 2) return items;
        std::sort(items.begin(), items.end(), [](Item* a, Item* b) {
            const auto left = wordsOf(*a), right = wordsOf(*b);
            return std::tie(left.backend, left.id) < std::tie(right.backend, right.id);
        });
        items.erase(std::unique(items.begin(), items.end()), items.end());
        return items;
    }

    Several<std::size_t> names_;  // by their hashes
    std::vector<Item*> ids_;      // in their order
    std::vector<Item*> tails_;    // in that of ids without their namespace
    Several<pid_t> pids_;
};

using TargetIndex = IndexOf<const Target>;

}  // namespace recap
