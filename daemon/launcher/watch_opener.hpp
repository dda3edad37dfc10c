// SPDX-License-Identifier: Apache-2.0
// Children that open watches. A lookup in a target's files may wait for a server of the target's, and then not even be killed: who asked
// has an answer in time all the same, nobody else waits, and the target is not looked into again before that child has ended.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "daemon/launcher/loop.hpp"
#include "daemon/launcher/watch_book.hpp"
#include "daemon/launcher/watch_open.hpp"

namespace recap::launcher {

struct WatchJob {
    WatchedTarget target;
    WatchRequest what;
    UniqueFd pidfd;
    FolderId root;
    std::uint32_t owner = 0;
    std::uint64_t client = 0;
    std::function<void(Result<OpenedWatch>)> done;  // once, on the loop
};

class WatchOpener {
public:
    // Both outlive this.
    WatchOpener(Loop& loop, const Procfs& procfs, const WatchPlaces& places) : loop_(loop), procfs_(procfs), places_(places) {}

    void open(WatchJob job);
    void forget(std::uint64_t client);  // what of it has not begun; its `done` does not come

private:
    struct Child;

    void next();
    void start(WatchJob job);
    void answer(Child& child, Result<OpenedWatch> opened);
    void overdue(const std::shared_ptr<Child>& child);
    void ended(const std::shared_ptr<Child>& child, bool killed);
    bool hangs(const WatchedTarget& target) const;

    Loop& loop_;
    const Procfs& procfs_;
    const WatchPlaces& places_;
    std::deque<WatchJob> waiting_;
    std::map<WatchedTarget, std::shared_ptr<Child>> children_;  // one a target
    std::size_t hanging_ = 0;                                   // of them, answered for and not ended
};

}  // namespace recap::launcher
