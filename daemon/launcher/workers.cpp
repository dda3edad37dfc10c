// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/workers.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

namespace recap::launcher {

namespace {
constexpr std::uint64_t kRestartUsec = 1000000;
}

Workers::~Workers() {
    for (auto& worker : workers_) {
        if (!worker.socket) continue;
        loop_.remove(worker.socket.get());
        bury(loop_, worker, prepared_);
    }
}

Result<void> Workers::start(unsigned count) {
    for (unsigned i = 0; i < count; ++i)
        if (auto started = startOne(workers_.emplace_back()); !started) return started;
    return {};
}

Result<void> Workers::startOne(WorkerProcess& worker) {
    if (auto started = startWorker(worker, prepared_, store_); !started) return started;
    if (!loop_.add(worker.socket.get(), EPOLLIN, [this, &worker](std::uint32_t) { onReady(worker); }))
        return failErrno("watch a spawn worker");
    return {};
}

void Workers::spawn(SpawnRequest request) {
    queue_.push_back(std::move(request));
    for (auto& worker : workers_)
        if (worker.socket && worker.runId.empty()) return giveNext(worker);
    if (std::ranges::none_of(workers_, [](const WorkerProcess& worker) { return static_cast<bool>(worker.socket); })) failQueue();
}

void Workers::giveNext(WorkerProcess& worker) {
    while (!queue_.empty()) {
        SpawnRequest request = std::move(queue_.front());
        queue_.pop_front();
        if (give(loop_, worker, request, [this, &worker] { onDeath(worker, ETIMEDOUT); })) return;
        failLater(std::move(request.runId), EPIPE);
    }
}

void Workers::onReady(WorkerProcess& worker) {
    auto result = answerOf(loop_, worker);
    if (!result) return onDeath(worker);
    giveNext(worker);  // the next one first: it starts while this one's news are dealt with
    done_(std::move(*result));
}

// A worker that died (a bug, or memory) or hangs costs the request that it had not carried out yet.
void Workers::onDeath(WorkerProcess& worker, int error) {
    loop_.remove(worker.socket.get());
    SpawnResult lost = bury(loop_, worker, prepared_, error);
    restart(worker);
    if (!lost.runId.empty()) done_(std::move(lost));
}

// No process to be had now (pids, memory) may be one in a second.
void Workers::restart(WorkerProcess& worker) {
    if (startOne(worker)) return giveNext(worker);
    worker.pid = 0;
    loop_.at(monotonicUsec() + kRestartUsec, [this, &worker] { restart(worker); });
    if (std::ranges::none_of(workers_, [](const WorkerProcess& one) { return static_cast<bool>(one.socket); })) failQueue();
}

void Workers::failQueue() {
    for (auto& request : std::exchange(queue_, {})) failLater(std::move(request.runId), EAGAIN);
}

void Workers::failLater(std::string runId, int error) {
    loop_.at(monotonicUsec(), [this, runId = std::move(runId), error] { done_({runId, "spawn worker", error, {}}); });
}

}  // namespace recap::launcher
