// SPDX-License-Identifier: Apache-2.0
// Of several words for one process: which one is listed, and how the others are kept meanwhile.
#include <algorithm>

#include "daemon/core/target_table.hpp"

namespace recap {

// How much a backend knows of a container: names, labels and tenants are taken from the first one.
unsigned TargetTable::rankOf(std::string_view backend) const {
    const auto status = backends_.find(std::string(backend));
    const std::string_view plugin = status == backends_.end() ? std::string_view() : std::string_view(status->second.plugin);
    if (plugin == "kubernetes") return 0;
    if (plugin == "docker") return 1;
    if (plugin == "containerd") return 2;
    return plugin == "process" ? 4 : 3;
}

// The best backend's first; one that is not pinned is alone, whatever pid it names.
std::vector<TargetTable::Entry*> TargetTable::sameProcess(const Entry& entry) const {
    const TargetWords words = wordsOf(entry);
    return entry.pinned() ? ofLife(words.pid, words.startTime) : std::vector<Entry*>{find(words.targetId())};
}

std::vector<TargetTable::Entry*> TargetTable::ofLife(pid_t pid, std::uint64_t startTime) const {
    auto same = index_.ofProcess(pid);
    std::erase_if(same, [&](const Entry* other) { return !other->pinned() || wordsOf(*other).startTime != startTime; });
    std::stable_sort(same.begin(), same.end(),
                     [this](const Entry* a, const Entry* b) { return rankOf(wordsOf(*a).backend) < rankOf(wordsOf(*b).backend); });
    return same;
}

// Those that were the same process as `gone` was, and are not any more.
void TargetTable::settleOthers(const Entry& gone, pid_t pid, std::uint64_t startTime) {
    auto others = ofLife(pid, startTime);
    std::erase(others, &gone);
    if (!others.empty()) settle(others);
}

// Shows those of the first one's backend, and hides the others.
void TargetTable::settle(const std::vector<Entry*>& same) {
    unpackFirst(same);
    std::vector<Entry*> toShow;
    const TargetId best = wordsOf(*same.front()).targetId();
    for (Entry* entry : same) {
        if (wordsOf(*entry).backend != best.backend)
            hide(*entry, *same.front());
        else if (!entry->shown())
            toShow.push_back(entry);
    }
    for (Entry* entry : toShow) show(*entry);
}

void TargetTable::show(Entry& entry) {
    Whole& whole = *entry.whole;
    whole.shown = true;
    if (whole.target.pidfd) {
        if (auto watched = watch(entry); !watched) whole.problem = watched.error();
        want(whole, false);
    }
    for (auto* listener : listeners_) listener->targetAdded(whole.target);
}

void TargetTable::hide(Entry& entry, Entry& better) {
    if (!entry.whole) return;
    const TargetId id = entry.whole->target.id;
    const bool wasShown = entry.shown();
    auto waiting = std::exchange(entry.whole->waiting, {});
    if (!better.whole->target.facts && entry.whole->target.facts) {  // found of the process, whoever tells of it
        better.whole->target.facts = std::move(entry.whole->target.facts);
        better.whole->target.tenant = tenants_.of(better.whole->target);
    }
    pack(entry);
    entry.pidfd = better.pinned();
    if (!wasShown) return;
    std::erase(toInspect_, id);
    for (auto* listener : listeners_) listener->targetRemoved(id);
    // Who waits for it has its pid in mind, which is the other's as well.
    for (auto& each : waiting) ready(*better.whole, std::move(each));
}

void TargetTable::pack(Entry& entry) {
    entry.packed = PackedTarget(entry.whole->target);
    entry.pidfd = entry.whole->target.pidfd;
    entry.whole.reset();
}

void TargetTable::unpack(Entry& entry) {
    entry.whole = std::make_unique<Whole>();
    Target& target = entry.whole->target = entry.packed.unpacked();
    target.pidfd = std::exchange(entry.pidfd, nullptr);
    target.tenant = tenants_.of(target);
    entry.packed = {};
}

// Whatever is done next, there is one that may be resolved to.
void TargetTable::unpackFirst(const std::vector<Entry*>& same) {
    const TargetId best = wordsOf(*same.front()).targetId();
    for (Entry* entry : same) {
        if (!entry->whole && wordsOf(*entry).backend == best.backend) unpack(*entry);
    }
}

TargetTable::Entry& TargetTable::shownOf(Entry& entry) const {
    if (entry.shown()) return entry;
    const auto same = sameProcess(entry);
    const auto shown = std::find_if(same.begin(), same.end(), [](const Entry* other) { return other->shown(); });
    if (shown != same.end()) return **shown;
    return **std::find_if(same.begin(), same.end(), [](const Entry* other) { return other->whole != nullptr; });
}

std::vector<TargetId> TargetTable::others(const Target& target) const {
    std::vector<TargetId> ids;
    if (!target.pidfd) return ids;
    for (const Entry* same : ofLife(target.pid, target.startTime)) {
        const TargetWords words = wordsOf(*same);
        if (words.backend != target.id.backend) ids.push_back(words.targetId());
    }
    return ids;
}

}  // namespace recap
