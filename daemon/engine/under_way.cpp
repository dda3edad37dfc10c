// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/under_way.hpp"

#include <algorithm>

namespace recap {

Result<void> UnderWay::admit(const RunRequest& request) const {
    if (request.trigger != Trigger::OnDemand) return {};
    const std::uint32_t uid = request.caller.uid;
    const std::size_t share = std::max<std::size_t>(most_ / 4, 1);
    const auto theirs = byUid_.find(uid);
    if (uid == 0 || theirs == byUid_.end() || theirs->second < share) return {};
    return fail(Errc::LimitExceeded,
                "uid " + std::to_string(uid) + " has " + std::to_string(theirs->second) +
                    " runs under way, and one user may have no more: a quarter of limits.runs and limits.queue of recapd.toml together, " +
                    std::to_string(most_) + "; try again when some have ended");
}

void UnderWay::enter(const RunRecord& run) {
    if (run.request.trigger == Trigger::OnDemand) ++byUid_[run.request.caller.uid];
    if (run.request.lifetime == Lifetime::Caller) byCaller_[run.request.caller.busName].insert(run.id);
}

void UnderWay::leave(const RunRecord& run) {
    unbind(run);
    if (run.request.trigger != Trigger::OnDemand) return;
    if (const auto theirs = byUid_.find(run.request.caller.uid); theirs != byUid_.end() && --theirs->second == 0) byUid_.erase(theirs);
}

void UnderWay::unbind(const RunRecord& run) {
    const auto bound = byCaller_.find(run.request.caller.busName);
    if (bound == byCaller_.end()) return;
    bound->second.erase(run.id);
    if (bound->second.empty()) byCaller_.erase(bound);
}

std::vector<RunId> UnderWay::boundTo(const std::string& busName) const {
    const auto bound = byCaller_.find(busName);
    if (bound == byCaller_.end()) return {};
    return {bound->second.begin(), bound->second.end()};
}

}  // namespace recap
