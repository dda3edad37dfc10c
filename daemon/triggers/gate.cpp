// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/gate.hpp"

namespace recap {

void Gate::entered(const RunId& id, const std::string& capsule, const std::string& target, Trigger trigger) {
    const Place place{capsule, target};
    if (!places_.emplace(id, place).second) return;
    busy_[place].runs.push_back({id, trigger});
}

std::optional<Gate::Place> Gate::left(const RunId& id) {
    const auto found = places_.find(id);
    if (found == places_.end()) return {};
    const Place place = std::move(found->second);
    places_.erase(found);
    const auto busy = busy_.find(place);
    std::erase_if(busy->second.runs, [&](const Running& run) { return run.id == id; });
    if (!busy->second.runs.empty()) return {};
    const bool waited = busy->second.waited;
    busy_.erase(busy);
    return waited ? std::optional(place) : std::nullopt;
}

Gate::Verdict Gate::ask(const Place& place, Overlap overlap) {
    const auto busy = busy_.find(place);
    if (busy == busy_.end() || overlap == Overlap::Allow) return {};
    const RunId& earlier = busy->second.runs.front().id;
    if (overlap == Overlap::Skip) return {Go::Skip, earlier};
    if (std::exchange(busy->second.waited, true)) return {Go::Skip, earlier, true};
    Verdict verdict{Go::Wait, earlier};
    if (overlap == Overlap::Replace)
        for (const auto& run : busy->second.runs)
            if (run.trigger != Trigger::OnDemand) verdict.stop.push_back(run.id);
    return verdict;
}

void Gate::withdraw(const Place& place) {
    if (const auto busy = busy_.find(place); busy != busy_.end()) busy->second.waited = false;
}

}  // namespace recap
