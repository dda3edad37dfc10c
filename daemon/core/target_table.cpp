// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/target_table.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <set>

#include "daemon/core/process.hpp"

namespace recap {
namespace {

constexpr std::size_t kMostIds = 8;  // that one backend may have for one process

bool hasEnded(const UniqueFd& pidfd) {
    pollfd wait{pidfd.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) > 0;
}

bool sameWords(const Target& a, const Target& b) {
    return a.name == b.name && a.image == b.image && a.labels == b.labels && a.aliases == b.aliases;
}

}  // namespace

Error TargetTable::goneError(const TargetId& id) { return {Errc::TargetGone, "target " + id.text() + " has ended"}; }

void TargetTable::snapshot(const std::string& backend, std::vector<Target> targets) {
    std::set<TargetId> present;
    for (const auto& target : targets) present.insert(target.id);
    std::vector<TargetId> missing;
    for (const auto& entry : entries_) {
        const TargetWords words = wordsOf(*entry);
        if (words.backend != backend) continue;
        if (TargetId id = words.targetId(); !present.contains(id)) missing.push_back(std::move(id));
    }
    for (const auto& id : missing) drop(id, goneError(id));
    for (auto& target : targets) insert(std::move(target));
}

void TargetTable::added(Target target) { insert(std::move(target)); }

void TargetTable::removed(const TargetId& id) { drop(id, goneError(id)); }

void TargetTable::state(BackendStatus status) {
    auto& known = backends_[status.name];
    known = std::move(status);
    for (auto* listener : listeners_) listener->backendChanged(known);
}

// Listeners hear that it is away: they may have objects that show its state.
void TargetTable::forgotten(const std::string& backend) {
    const auto known = backends_.extract(backend);
    if (known.empty()) return;
    BackendStatus status = known.mapped();
    status.state = BackendState::Unavailable;
    status.detail = "no longer in recapd.toml";
    for (auto* listener : listeners_) listener->backendChanged(status);
}

TargetTable::Entry* TargetTable::find(const TargetId& id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : found->get();
}

void TargetTable::insert(Target target) {
    if (Entry* known = find(target.id)) {
        const TargetWords old = wordsOf(*known);
        const bool sameLife = old.pid == target.pid && (target.startTime == 0 || old.startTime == target.startTime);
        if (sameLife) return update(*known, std::move(target));
        drop(TargetId(target.id), goneError(target.id));
    }
    place(std::move(target));
}

void TargetTable::place(Target told) {
    auto entry = std::make_unique<Entry>();
    entry->whole = std::make_unique<Whole>();
    Target& target = entry->whole->target = std::move(told);
    if (const auto pinned = pin(target); !pinned) {
        if (pinned.error().code == Errc::TargetGone && target.state == TargetState::Running) return;
        entry->whole->problem = pinned.error();
    }
    if (target.pidfd && hasTooMany(target)) return;
    target.tenant = tenants_.of(target);
    Entry& placed = **entries_.insert(std::move(entry)).first;
    index_.add(placed);
    settle(sameProcess(placed));
}

// Of one process no honest host has so many ids, and each costs.
bool TargetTable::hasTooMany(const Target& target) const {
    const auto same = ofLife(target.pid, target.startTime);
    const auto own =
        std::count_if(same.begin(), same.end(), [&](const Entry* other) { return wordsOf(*other).backend == target.id.backend; });
    return static_cast<std::size_t>(own) >= kMostIds;
}

// The same life. In another cgroup it is checked and inspected anew: what was expected of it holds no more.
void TargetTable::update(Entry& entry, Target told) {
    index_.remove(entry);
    if (!entry.whole) unpack(entry);
    Target& target = entry.whole->target;
    Target old = std::exchange(target, std::move(told));
    const bool changed = entry.shown() && !sameWords(old, target);
    target.startTime = old.startTime;
    target.pidfd = std::move(old.pidfd);
    if (target.pidfd && target.cgroup == old.cgroup) {
        target.facts = std::move(old.facts);
        target.tenant = tenants_.of(target);
        if (!entry.shown()) pack(entry);
        index_.add(entry);
        return changed ? tellChanged(entry) : void();
    }
    target.tenant = tenants_.of(target);
    // What is not pinned any more is no further word for that process, nor in the way of those that are.
    entry.whole->watch.reset();
    const std::shared_ptr<UniqueFd> before = std::exchange(target.pidfd, nullptr);
    std::erase(toInspect_, target.id);
    auto pinned = pin(target);
    if (pinned && hasTooMany(target)) {
        pinned = fail(Errc::LimitExceeded, target.id.backend + " tells of process " + std::to_string(target.pid) + " by more than " +
                                               std::to_string(kMostIds) + " ids");
        target.pidfd.reset();
    }
    if (pinned && entry.shown()) pinned = watch(entry);
    index_.add(entry);
    entry.whole->problem = pinned ? Error{Errc::None, {}} : pinned.error();
    if (!pinned && before) settleOthers(entry, old.pid, old.startTime);
    settle(sameProcess(entry));
    if (!entry.shown()) return;
    Whole& whole = *entry.whole;
    if (pinned) whole.asked = false;  // an answer about the old pidfd is no longer waited for
    if (changed) tellChanged(entry);
    if (pinned) return want(whole, !whole.waiting.empty());
    for (auto& waiting : std::exchange(whole.waiting, {})) waiting(tl::unexpected(pinned.error()));
}

void TargetTable::tellChanged(const Entry& entry) {
    for (auto* listener : listeners_) listener->targetChanged(entry.whole->target);
}

// Opens the pidfd first, then checks that start time and cgroup are what the backend spoke of.
Result<void> TargetTable::pin(Target& target) {
    const std::string who = target.id.text();
    if (target.state == TargetState::Stopped) return fail(Errc::TargetGone, "target " + who + " is stopped");
    auto pinned = pinProcess(target.pid);
    if (!pinned) return forward(std::move(pinned), who);
    if (target.startTime != 0 && target.startTime != pinned->startTime)
        return fail(Errc::TargetGone, who + ": process " + std::to_string(target.pid) + " is another one than its backend saw");
    // Whatever its backend says: an honest host leaves it out.
    if (isIn(*pinned, kLauncherCgroup)) return fail(Errc::Denied, who + ": process " + std::to_string(target.pid) + " is RECap's own");
    if (!target.cgroup.empty() && !isIn(*pinned, target.cgroup))
        return fail(Errc::Denied, who + ": process " + std::to_string(target.pid) + " is not in cgroup " + target.cgroup +
                                      ", which its backend names; is the backend's configuration that of this host?");
    target.startTime = pinned->startTime;
    target.pidfd = std::make_shared<UniqueFd>(std::move(pinned->pidfd));
    return {};
}

Result<void> TargetTable::watch(Entry& entry) {
    auto& pidfd = entry.whole->target.pidfd;
    auto watch = ends_.watch(*pidfd, &entry);
    if (!watch && watch.error().code == Errc::AlreadyExists) {  // while it was packed it had the same one as another
        UniqueFd copy(::fcntl(pidfd->get(), F_DUPFD_CLOEXEC, 0));
        if (!copy) return failErrno("copy a pidfd");
        pidfd = std::make_shared<UniqueFd>(std::move(copy));
        watch = ends_.watch(*pidfd, &entry);
    }
    if (!watch) return forward(std::move(watch), entry.whole->target.id.text());
    entry.whole->watch = std::move(*watch);
    return {};
}

void TargetTable::ended(void* entry) { endOf(*static_cast<const Entry*>(entry)); }

// The process has ended, and with it whatever backends call it; what is not listed goes first, so that it is not listed now.
void TargetTable::endOf(const Entry& entry) {
    std::vector<TargetId> ids;
    for (const Entry* same : sameProcess(entry)) ids.push_back(wordsOf(*same).targetId());
    for (auto it = ids.rbegin(); it != ids.rend(); ++it) erase(*it, goneError(*it));
}

void TargetTable::drop(const TargetId& id, const Error& why) {
    Entry* found = find(id);
    if (found == nullptr) return;
    const bool wasShown = found->shown();
    const auto pidfd = found->pinned();
    auto same = sameProcess(*found);
    std::erase(same, found);
    if (wasShown && !same.empty()) {
        unpackFirst(same);
        for (Entry* other : same) {
            if (!other->whole || other->shown()) continue;
            // What INSPECT found is the process's, whoever tells of it.
            other->whole->target.facts = found->whole->target.facts;
            other->whole->target.tenant = tenants_.of(other->whole->target);
        }
    }
    erase(id, why);
    if (!wasShown || same.empty()) return;
    // A backend may say so before the pidfd does; else it was that backend's word only.
    if (hasEnded(*pidfd)) return endOf(*same.front());
    settle(same);
}

void TargetTable::erase(const TargetId& id, const Error& why) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    index_.remove(**found);
    const auto node = entries_.extract(found);
    std::erase(toInspect_, id);
    if (!node.value()->whole) return;
    for (auto& waiting : node.value()->whole->waiting) waiting(tl::unexpected(why));
    if (!node.value()->shown()) return;
    for (auto* listener : listeners_) listener->targetRemoved(id);
}

void TargetTable::keep(Tenants tenants) {
    tenants_ = std::move(tenants);
    for (const auto& entry : entries_) {
        if (entry->whole) entry->whole->target.tenant = tenants_.of(entry->whole->target);
    }
}

std::vector<const Target*> TargetTable::list() const {
    std::vector<const Target*> all;
    for (const auto& entry : entries_) {
        if (entry->shown()) all.push_back(&entry->whole->target);
    }
    return all;
}

std::vector<BackendStatus> TargetTable::backends() const {
    std::map<std::string_view, std::size_t> counts;
    for (const auto& entry : entries_) {
        if (entry->shown()) ++counts[entry->whole->target.id.backend];
    }
    std::vector<BackendStatus> all;
    all.reserve(backends_.size());
    for (const auto& [name, status] : backends_) {
        all.push_back(status);
        all.back().targets = counts[name];
    }
    return all;
}

}  // namespace recap
