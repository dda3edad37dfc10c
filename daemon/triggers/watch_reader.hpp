// SPDX-License-Identifier: Apache-2.0
// What the descriptor of a watch has to tell, whichever form it has. Never waits; no clock, no loop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "daemon/core/watch.hpp"

namespace recap {

struct Heard {
    std::uint64_t count = 0;    // kills; one of a trigger's; changes: at least so many
    std::uint64_t total = 0;    // kills since the cgroup was made; 0 where only their coming is told
    std::uint32_t what = 0;     // of a file: bits of inotify(7)
    std::string entry = {};     // of a folder: what has changed in it, the first of several
    bool moved = false;         // the path may lead to another file now
    bool gone = false;          // this descriptor tells of nothing any more
    bool more = false;          // there is more to read
    std::uint64_t records = 0;  // that were read, for what reading costs

    void add(Heard later);
};

// How many processes memory.events says were killed; none: the cgroup is gone.
std::optional<std::uint64_t> killsIn(int events);
using KillsIn = std::function<std::optional<std::uint64_t>(int events)>;

class WatchReader {
public:
    explicit WatchReader(OpenedWatch opened, KillsIn kills = killsIn) : opened_(std::move(opened)), killsIn_(std::move(kills)) {}

    // Of counters: they count from here on, and what is answered is what they have counted before.
    std::uint64_t begin();
    // `events`: what epoll(7) gave, as a trigger tells a thing but once; 0: nobody has asked it. At most 64 KiB are read.
    Heard read(std::uint32_t events);

    std::uint32_t waitsFor() const;  // events of epoll(7)
    const OpenedWatch& opened() const { return opened_; }
    void disown() { opened_.id = 0; }  // the launcher does not know of it any more

private:
    Heard readCounters();
    Heard readCounter();
    Heard readTrigger(std::uint32_t events) const;
    Heard readChanges();

    OpenedWatch opened_;
    KillsIn killsIn_;
    std::uint64_t kills_ = 0;
};

// "modified", "created", "deleted", "moved" with commas between, or "attributes"; of bits of inotify(7).
std::string changeWords(std::uint32_t what);

}  // namespace recap
