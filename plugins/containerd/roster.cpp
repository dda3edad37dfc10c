// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/roster.hpp"

#include "plugins/containerd/facts.hpp"

namespace recap::containerd {

void Roster::replace(plugin::Sink& sink, const std::vector<plugin::Target>& targets) {
    const std::lock_guard lock(mutex_);
    targets_.clear();
    for (const auto& target : targets) targets_[target.id] = target;
    sink.snapshot(targets);
}

// The end of a process is told after it is one: so what lives here and now is not told of too late.
bool Roster::put(plugin::Sink& sink, plugin::Target target) {
    const std::lock_guard lock(mutex_);
    const auto known = targets_.find(target.id);
    if (!stillLives(target)) {
        if (known != targets_.end()) {
            sink.removed(target.id);
            targets_.erase(known);
        }
        return false;
    }
    const bool sameLife = known != targets_.end() && known->second.pid == target.pid && known->second.startTime == target.startTime;
    if (sameLife)
        sink.changed(target);
    else
        sink.added(target);
    targets_[target.id] = std::move(target);
    return true;
}

void Roster::ended(plugin::Sink& sink, const std::string& id, pid_t pid) {
    const std::lock_guard lock(mutex_);
    const auto known = targets_.find(id);
    if (known == targets_.end() || (pid != 0 && known->second.pid != pid)) return;
    sink.removed(id);
    targets_.erase(known);
}

std::optional<plugin::Target> Roster::told(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto known = targets_.find(id);
    if (known == targets_.end() || !stillLives(known->second)) return std::nullopt;
    return known->second;
}

}  // namespace recap::containerd
