// SPDX-License-Identifier: Apache-2.0
// What the launcher finds of each target, asked once a life; whoever needs it sooner goes before.
#include "daemon/core/target_table.hpp"

namespace recap {
namespace {

constexpr unsigned kInspectsAtOnce = 32;  // a snapshot of thousands must not fill the launcher's socket

}  // namespace

void TargetTable::want(Whole& whole, bool urgent) {
    if (whole.asked || whole.target.facts) return;
    std::erase(toInspect_, whole.target.id);
    if (urgent)
        toInspect_.push_front(whole.target.id);
    else
        toInspect_.push_back(whole.target.id);
    askNext();
}

void TargetTable::askNext() {
    while (launcher_.available() && inspecting_ < kInspectsAtOnce && !toInspect_.empty()) {
        const TargetId id = std::move(toInspect_.front());
        toInspect_.pop_front();
        Whole& whole = *find(id)->whole;
        whole.asked = true;
        ++inspecting_;
        // The pidfd tells this life from a later one of the same id.
        launcher_.inspect(whole.target.pidfd->get(), [this, id, pidfd = whole.target.pidfd](Result<TargetFacts> facts) {
            --inspecting_;
            inspected(id, pidfd, std::move(facts));
            askNext();
        });
    }
}

void TargetTable::inspected(const TargetId& id, const std::shared_ptr<UniqueFd>& pidfd, Result<TargetFacts> facts) {
    const Entry* found = find(id);
    if (found == nullptr || !found->whole || found->whole->target.pidfd != pidfd) return;
    Whole& whole = *found->whole;
    Target& target = whole.target;
    whole.asked = false;
    if (facts && facts->startTime != target.startTime)
        facts = fail(Errc::TargetGone, "target " + id.text() + " is another process than it was");
    auto waiting = std::exchange(whole.waiting, {});
    if (facts) target.facts = std::move(*facts);
    target.tenant = tenants_.of(target);
    const Result<Target> answer = target.facts ? Result<Target>(target) : Result<Target>(tl::unexpected(facts.error()));
    for (auto& ready : waiting) ready(answer);
}

void TargetTable::launcherConnected() {
    for (const auto& entry : entries_) {
        if (entry->shown() && entry->whole->target.pidfd) want(*entry->whole, false);
    }
}

void TargetTable::whenReady(const std::string& text, Ready ready) {
    const auto found = resolve(text);
    if (found) return this->ready(*find((*found)->id)->whole, std::move(ready));
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
        return now ? this->ready(*find((*now)->id)->whole, std::move(ready))
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
    Entry* known = find(id);
    if (known == nullptr) return ready(tl::unexpected(goneError(id)));
    Whole& whole = *shownOf(*known).whole;
    whole.target.facts.reset();
    this->ready(whole, std::move(ready));
}

void TargetTable::ready(Whole& whole, Ready ready) {
    if (whole.problem.code != Errc::None) return ready(tl::unexpected(whole.problem));
    if (whole.target.facts) return ready(whole.target);
    if (!launcher_.available())
        return ready(fail(Errc::Unavailable, "recap-launcher is away, so target " + whole.target.id.text() + " cannot be inspected"));
    whole.waiting.push_back(std::move(ready));
    want(whole, true);
}

}  // namespace recap
