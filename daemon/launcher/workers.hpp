// SPDX-License-Identifier: Apache-2.0
// The supervisor's side of its spawn workers: one request in flight for each, the rest queued in order.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/loop.hpp"
#include "daemon/launcher/store.hpp"

namespace recap::launcher {

struct SpawnRequest {
    std::string runId;
    std::string plan;           // encoded, verb Start
    std::vector<UniqueFd> fds;  // in the order of WorkerFd
};

struct SpawnResult {
    std::string runId;
    std::string step;  // empty: spawned
    int error = 0;
    UniqueFd pidfd;
};

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
    struct Worker {
        UniqueFd socket;
        pid_t pid = 0;
        std::string runId;  // in flight
    };
    Result<void> startOne(Worker& worker);
    void give(Worker& worker);
    void onReady(Worker& worker);
    void onDeath(Worker& worker);
    UniqueFd initOf(const std::string& runId) const;
    void restart(Worker& worker);
    void failQueue();
    void failLater(std::string runId, int error);

    Loop& loop_;
    const Prepared& prepared_;
    const Store& store_;
    std::function<void(SpawnResult)> done_;
    std::deque<Worker> workers_;  // addresses stay
    std::deque<SpawnRequest> queue_;
};

}  // namespace recap::launcher
