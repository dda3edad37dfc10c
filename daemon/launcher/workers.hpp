// SPDX-License-Identifier: Apache-2.0
// The supervisor's side of its spawn workers: one request in flight for each, the rest queued in order.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "daemon/launcher/loop.hpp"
#include "daemon/launcher/worker_process.hpp"

namespace recap::launcher {

class Workers {
public:
    Workers(Loop& loop, const Prepared& prepared, const Store& store, std::function<void(SpawnResult)> done)
        : loop_(loop), prepared_(prepared), store_(store), done_(std::move(done)) {}
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    Result<void> start(unsigned count);
    bool full() const { return queue_.size() >= 2 * workers_.size(); }  // more would only wait: `done` says when to look again
    void spawn(SpawnRequest request);                                   // `done` comes on a later turn, whatever happens

private:
    Result<void> startOne(WorkerProcess& worker);
    void giveNext(WorkerProcess& worker);
    void onReady(WorkerProcess& worker);
    void onDeath(WorkerProcess& worker, int error = ECHILD);
    void restart(WorkerProcess& worker);
    void failQueue();
    void failLater(std::string runId, int error);

    Loop& loop_;
    const Prepared& prepared_;
    const Store& store_;
    std::function<void(SpawnResult)> done_;
    std::deque<WorkerProcess> workers_;  // addresses stay
    std::deque<SpawnRequest> queue_;
};

}  // namespace recap::launcher
