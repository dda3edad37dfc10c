// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/target_table.hpp"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <set>

#include "daemon/core/process.hpp"

namespace recap {
namespace {

constexpr std::size_t kMostIds = 8;       // that one backend may have for one process
constexpr unsigned kInspectsAtOnce = 32;  // a snapshot of thousands must not fill the launcher's socket

bool hasEnded(const UniqueFd& pidfd) {
    pollfd wait{pidfd.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) > 0;
}

Error goneError(const TargetId& id) { return {Errc::TargetGone, "target " + id.text() + " has ended"}; }

}  // namespace

void TargetTable::snapshot(const std::string& backend, std::vector<Target> targets) {
    std::set<TargetId> present;
    for (const auto& target : targets) present.insert(target.id);
    std::vector<TargetId> missing;
    for (const auto& [id, entry] : entries_) {
        if (id.backend == backend && !present.contains(id)) missing.push_back(id);
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

void TargetTable::insert(Target target) {
    const TargetId id = target.id;
    const auto known = entries_.find(id);
    if (known != entries_.end()) {
        Target& old = known->second.target;
        const bool sameLife = old.pid == target.pid && (target.startTime == 0 || old.startTime == target.startTime);
        if (sameLife) return update(known->second, std::move(target));
        drop(id, goneError(id));
    }
    Entry entry;
    entry.table = this;
    entry.target = std::move(target);
    place(std::move(entry));
}

void TargetTable::place(Entry entry) {
    auto& placed = entries_.emplace(entry.target.id, std::move(entry)).first->second;
    if (const auto pinned = pin(placed); !pinned) {
        if (pinned.error().code == Errc::TargetGone && placed.target.state == TargetState::Running) {
            entries_.erase(TargetId(placed.target.id));
            return;
        }
        placed.problem = pinned.error();
    }
    auto same = placed.target.pidfd ? index_.ofProcess(placed.target.pid) : std::vector<const Target*>();
    std::erase_if(same, [&](const Target* other) { return other->id.backend != placed.target.id.backend; });
    if (same.size() >= kMostIds) {  // of one process no honest host has so many, and each costs
        entries_.erase(TargetId(placed.target.id));
        return;
    }
    index_.add(placed.target);
    placed.target.tenant = tenants_.of(placed.target);
    settle(sameProcess(placed.target));
}

// The same life. In another cgroup it is checked and inspected anew: what was expected of it holds no more.
void TargetTable::update(Entry& entry, Target target) {
    index_.remove(entry.target);
    Target old = std::exchange(entry.target, std::move(target));
    entry.target.startTime = old.startTime;
    entry.target.pidfd = std::move(old.pidfd);
    if (entry.target.pidfd && entry.target.cgroup == old.cgroup) {
        entry.target.facts = std::move(old.facts);
        entry.target.tenant = tenants_.of(entry.target);
        return index_.add(entry.target);
    }
    entry.target.tenant = tenants_.of(entry.target);
    // What is not pinned any more is no further word for that process, nor in the way of those that are.
    const std::shared_ptr<UniqueFd> before = std::exchange(entry.target.pidfd, nullptr);
    const auto pinned = pin(entry);
    index_.add(entry.target);
    entry.problem = pinned ? Error{Errc::None, {}} : pinned.error();
    if (!pinned && before) settleOthers(entry, old.pid, old.startTime);
    settle(sameProcess(entry.target));
    if (pinned) {
        entry.asked = false;  // an answer about the old pidfd is no longer waited for
        if (entry.shown) want(entry, !entry.waiting.empty());
        return;
    }
    std::erase(toInspect_, entry.target.id);
    for (auto& waiting : std::exchange(entry.waiting, {})) waiting(tl::unexpected(pinned.error()));
}

// How much a backend knows of a container: names, labels and tenants are taken from the first one.
unsigned TargetTable::rankOf(const std::string& backend) const {
    const auto status = backends_.find(backend);
    const std::string_view plugin = status == backends_.end() ? std::string_view() : std::string_view(status->second.plugin);
    if (plugin == "kubernetes") return 0;
    if (plugin == "docker") return 1;
    if (plugin == "containerd") return 2;
    return plugin == "process" ? 4 : 3;
}

// The best backend's first; one that is not pinned is alone, whatever pid it names.
std::vector<const Target*> TargetTable::sameProcess(const Target& target) const {
    if (!target.pidfd) return {&target};
    auto same = index_.ofProcess(target.pid);
    std::erase_if(same, [&](const Target* other) { return !other->pidfd || other->startTime != target.startTime; });
    std::stable_sort(same.begin(), same.end(),
                     [this](const Target* a, const Target* b) { return rankOf(a->id.backend) < rankOf(b->id.backend); });
    return same;
}

// Those that were the same process as `gone` was, and are not any more.
void TargetTable::settleOthers(const Entry& gone, pid_t pid, std::uint64_t startTime) {
    for (const Target* other : index_.ofProcess(pid)) {
        if (other == &gone.target || !other->pidfd || other->startTime != startTime) continue;
        return settle(sameProcess(*other));
    }
}

// Shows those of the first one's backend, and hides the others.
void TargetTable::settle(const std::vector<const Target*>& same) {
    std::vector<Entry*> toShow;
    for (const Target* target : same) {
        Entry& entry = entries_.at(target->id);
        const bool first = target->id.backend == same.front()->id.backend;
        if (first && !entry.shown) toShow.push_back(&entry);
        if (first || !std::exchange(entry.shown, false)) continue;
        for (auto* listener : listeners_) listener->targetRemoved(target->id);
        // Who waits for it has its pid in mind, which is the other's as well.
        for (auto& waiting : std::exchange(entry.waiting, {})) ready(same.front()->id, std::move(waiting));
        std::erase(toInspect_, target->id);
    }
    for (Entry* entry : toShow) {
        entry->shown = true;
        if (entry->target.pidfd) want(*entry, false);
        for (auto* listener : listeners_) listener->targetAdded(entry->target);
    }
}

const Target* TargetTable::shownOf(const Target* target) const {
    return entries_.at(target->id).shown ? target : sameProcess(*target).front();
}

std::vector<TargetId> TargetTable::others(const Target& target) const {
    std::vector<TargetId> ids;
    for (const Target* same : sameProcess(target))
        if (same->id.backend != target.id.backend) ids.push_back(same->id);
    return ids;
}

// Opens the pidfd first, then checks that start time and cgroup are what the backend spoke of.
Result<void> TargetTable::pin(Entry& entry) {
    Target& target = entry.target;
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
    sd_event_source* source = nullptr;
    const int error = sd_event_add_io(loop_, &source, target.pidfd->get(), EPOLLIN, onEnded, &entry);
    if (error < 0) return failErrno("watch " + who, -error);
    entry.watch.reset(source);
    return {};
}

int TargetTable::onEnded(sd_event_source*, int, std::uint32_t, void* self) {
    auto& entry = *static_cast<Entry*>(self);
    entry.table->endOf(TargetId(entry.target.id));
    return 0;
}

// The process has ended, and with it whatever backends call it; what is not listed goes first, so that it is not listed now.
void TargetTable::endOf(const TargetId& id) {
    std::vector<TargetId> ids;
    for (const Target* same : sameProcess(entries_.at(id).target)) ids.push_back(same->id);
    for (auto it = ids.rbegin(); it != ids.rend(); ++it) erase(*it, goneError(*it));
}

void TargetTable::drop(const TargetId& id, const Error& why) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    const bool wasShown = found->second.shown;
    const auto pidfd = found->second.target.pidfd;
    auto same = sameProcess(found->second.target);
    std::erase(same, &found->second.target);
    erase(id, why);
    if (!wasShown || same.empty()) return;
    // A backend may say so before the pidfd does; else it was that backend's word only.
    if (hasEnded(*pidfd)) return endOf(TargetId(same.front()->id));
    settle(same);
}

void TargetTable::erase(const TargetId& id, const Error& why) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    index_.remove(found->second.target);
    auto node = entries_.extract(found);
    std::erase(toInspect_, id);
    for (auto& waiting : node.mapped().waiting) waiting(tl::unexpected(why));
    if (!node.mapped().shown) return;
    for (auto* listener : listeners_) listener->targetRemoved(id);
}

void TargetTable::want(Entry& entry, bool urgent) {
    if (entry.asked || entry.target.facts) return;
    std::erase(toInspect_, entry.target.id);
    if (urgent)
        toInspect_.push_front(entry.target.id);
    else
        toInspect_.push_back(entry.target.id);
    askNext();
}

void TargetTable::askNext() {
    while (launcher_.available() && inspecting_ < kInspectsAtOnce && !toInspect_.empty()) {
        const TargetId id = std::move(toInspect_.front());
        toInspect_.pop_front();
        auto& entry = entries_.at(id);
        entry.asked = true;
        ++inspecting_;
        // The pidfd tells this life from a later one of the same id.
        launcher_.inspect(entry.target.pidfd->get(), [this, id, pidfd = entry.target.pidfd](Result<TargetFacts> facts) {
            --inspecting_;
            inspected(id, pidfd, std::move(facts));
            askNext();
        });
    }
}

void TargetTable::inspected(const TargetId& id, const std::shared_ptr<UniqueFd>& pidfd, Result<TargetFacts> facts) {
    const auto found = entries_.find(id);
    if (found == entries_.end() || found->second.target.pidfd != pidfd) return;
    Entry& entry = found->second;
    entry.asked = false;
    if (facts && facts->startTime != entry.target.startTime)
        facts = fail(Errc::TargetGone, "target " + id.text() + " is another process than it was");
    auto waiting = std::exchange(entry.waiting, {});
    if (facts) entry.target.facts = std::move(*facts);
    entry.target.tenant = tenants_.of(entry.target);
    const Result<Target> answer = entry.target.facts ? Result<Target>(entry.target) : Result<Target>(tl::unexpected(facts.error()));
    for (auto& ready : waiting) ready(answer);
}

void TargetTable::keep(Tenants tenants) {
    tenants_ = std::move(tenants);
    for (auto& [id, entry] : entries_) entry.target.tenant = tenants_.of(entry.target);
}

void TargetTable::launcherConnected() {
    for (auto& [id, entry] : entries_) {
        if (entry.target.pidfd && entry.shown) want(entry, false);
    }
}

void TargetTable::whenReady(const std::string& text, Ready ready) {
    const auto found = resolve(text);
    if (found) return this->ready((*found)->id, std::move(ready));
    if (finder_ == nullptr || found.error().code != Errc::NotFound) return ready(tl::unexpected(found.error()));
    const auto colon = text.find(':');
    std::vector<TargetId> wanted;
    for (const auto& [name, status] : backends_)
        if (status.state == BackendState::Ready && (colon == std::string::npos || text.substr(0, colon) == name))
            wanted.push_back({name, colon == std::string::npos ? text : text.substr(colon + 1)});
    search(text, std::move(wanted), found.error(), std::move(ready));
}

// What started a moment ago, and pids that no snapshot lists: the backends are asked one after the other. Several may have it, so
// that what they told is resolved as any name is.
void TargetTable::search(const std::string& text, std::vector<TargetId> wanted, Error missing, Ready ready) {
    if (wanted.empty()) {
        const auto now = resolve(text);
        return now ? this->ready((*now)->id, std::move(ready))
                   : ready(tl::unexpected(now.error().code == Errc::NotFound ? missing : now.error()));
    }
    const TargetId next = wanted.back();
    wanted.pop_back();
    // Of the one backend that was named, its own words are the better ones.
    const bool named = text.starts_with(next.backend + ":");
    finder_->find(
        next, [this, text, named, wanted = std::move(wanted), missing = std::move(missing), ready = std::move(ready)](Result<void> done) {
            const bool telling = !done && done.error().code != Errc::NotSupported && (named || done.error().code != Errc::NotFound);
            search(text, wanted, telling ? done.error() : missing, ready);
        });
}

void TargetTable::refresh(const TargetId& id, Ready ready) {
    const auto known = entries_.find(id);
    if (known == entries_.end()) return ready(tl::unexpected(goneError(id)));
    known->second.target.facts.reset();
    this->ready(id, std::move(ready));
}

void TargetTable::ready(const TargetId& id, Ready ready) {
    Entry& entry = entries_.at(id);
    if (entry.problem.code != Errc::None) return ready(tl::unexpected(entry.problem));
    if (entry.target.facts) return ready(entry.target);
    if (!launcher_.available())
        return ready(fail(Errc::Unavailable, "recap-launcher is away, so target " + id.text() + " cannot be inspected"));
    entry.waiting.push_back(std::move(ready));
    want(entry, true);
}

std::vector<const Target*> TargetTable::list() const {
    std::vector<const Target*> all;
    all.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) {
        if (entry.shown) all.push_back(&entry.target);
    }
    return all;
}

std::vector<BackendStatus> TargetTable::backends() const {
    std::map<std::string_view, std::size_t> counts;
    for (const auto& [id, entry] : entries_) counts[id.backend] += entry.shown ? 1 : 0;
    std::vector<BackendStatus> all;
    all.reserve(backends_.size());
    for (const auto& [name, status] : backends_) {
        all.push_back(status);
        all.back().targets = counts[name];
    }
    return all;
}

}  // namespace recap
