// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/watch_book.hpp"

#include <string>

namespace recap::launcher {

Result<std::uint64_t> WatchBook::add(std::uint64_t client, const WatchedTarget& target) {
    if (watches_.size() >= kMost)
        return fail(Errc::LimitExceeded, "there are " + std::to_string(kMost) + " watches, and more are not kept");
    if (const auto of = of_.find(target); of != of_.end() && of->second >= kMostOfATarget)
        return fail(Errc::LimitExceeded, "process " + std::to_string(target.pid) + " has " + std::to_string(kMostOfATarget) +
                                             " watches, and one target has no more");
    watches_[++last_] = {client, target};
    ++of_[target];
    return last_;
}

WatchBook::Watches::iterator WatchBook::erase(Watches::iterator at) {
    const auto of = of_.find(at->second.target);
    if (--of->second == 0) of_.erase(of);
    return watches_.erase(at);
}

bool WatchBook::remove(std::uint64_t client, std::uint64_t id) {
    const auto found = watches_.find(id);
    if (found == watches_.end() || found->second.client != client) return false;
    erase(found);
    return true;
}

void WatchBook::forget(std::uint64_t client) {
    for (auto at = watches_.begin(); at != watches_.end();) at = at->second.client == client ? erase(at) : std::next(at);
}

}  // namespace recap::launcher
