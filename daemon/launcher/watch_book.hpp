// SPDX-License-Identifier: Apache-2.0
// The watches that recapd has, counted. Their descriptors are recapd's own and bounded by its RLIMIT_NOFILE in the end; this bounds what
// a recapd that forgets to let go has the kernel keep. Pure.
#pragma once

#include <compare>
#include <cstdint>
#include <map>

#include "sdk/base/result.hpp"

namespace recap::launcher {

// One life of a container's first process.
struct WatchedTarget {
    std::uint32_t pid = 0;
    std::uint64_t startTime = 0;
    auto operator<=>(const WatchedTarget&) const = default;
};

class WatchBook {
public:
    static constexpr std::size_t kMost = 4096;
    static constexpr std::size_t kMostOfATarget = 64;

    // No id is given twice, by a launcher that is started anew neither, where `first` is the time of its start.
    explicit WatchBook(std::uint64_t first) : last_(first) {}

    // Errc::LimitExceeded names the bound. A watch counts from before it is opened.
    Result<std::uint64_t> add(std::uint64_t client, const WatchedTarget& target);
    bool remove(std::uint64_t client, std::uint64_t id);  // false: that client has none of this id
    void forget(std::uint64_t client);                    // all of its
    bool has(std::uint64_t id) const { return watches_.contains(id); }
    std::size_t size() const { return watches_.size(); }

private:
    struct Watch {
        std::uint64_t client = 0;
        WatchedTarget target;
    };
    using Watches = std::map<std::uint64_t, Watch>;
    Watches::iterator erase(Watches::iterator at);

    Watches watches_;                          // by id
    std::map<WatchedTarget, std::size_t> of_;  // how many
    std::uint64_t last_;
};

}  // namespace recap::launcher
