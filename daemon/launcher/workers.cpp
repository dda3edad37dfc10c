// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/workers.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/transport.hpp"
#include "daemon/launcher/worker.hpp"

namespace recap::launcher {

namespace {
constexpr std::uint64_t kRestartUsec = 1000000;
}

Workers::~Workers() {
    for (auto& worker : workers_) {
        if (!worker.socket) continue;
        loop_.remove(worker.socket.get());
        worker.socket.reset();  // its end of file ends it
        ::waitpid(worker.pid, nullptr, 0);
    }
}

Result<void> Workers::start(unsigned count) {
    for (unsigned i = 0; i < count; ++i)
        if (auto started = startOne(workers_.emplace_back()); !started) return started;
    return {};
}

Result<void> Workers::startOne(Worker& worker) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return failErrno("socketpair");
    worker.socket.reset(pair[0]);
    UniqueFd theirs(pair[1]);
    worker.runId.clear();
    worker.pid = ::fork();
    if (worker.pid < 0) {
        worker.socket.reset();
        return failErrno("fork a spawn worker");
    }
    if (worker.pid == 0) {
        // Nothing of the supervisor's is inherited but what a spawn needs; the store's, procfs' and seed's descriptors stay.
        const int socket = theirs.release();
        keepOnly(socket, prepared_, store_);
        runWorker(socket, prepared_, store_);
    }
    if (!loop_.add(worker.socket.get(), EPOLLIN, [this, &worker](std::uint32_t) { onReady(worker); }))
        return failErrno("watch a spawn worker");
    return {};
}

void Workers::spawn(SpawnRequest request) {
    queue_.push_back(std::move(request));
    for (auto& worker : workers_)
        if (worker.socket && worker.runId.empty()) return give(worker);
    if (std::ranges::none_of(workers_, [](const Worker& worker) { return static_cast<bool>(worker.socket); })) failQueue();
}

void Workers::give(Worker& worker) {
    while (!queue_.empty()) {
        SpawnRequest request = std::move(queue_.front());
        queue_.pop_front();
        std::vector<int> fds;
        for (const auto& fd : request.fds) fds.push_back(fd.get());
        worker.runId = request.runId;
        auto sent = sendMessage(worker.socket.get(), request.plan, fds);
        if (sent) return;
        worker.runId.clear();
        failLater(std::move(request.runId), EPIPE);
    }
}

void Workers::onReady(Worker& worker) {
    auto message = receiveMessage(worker.socket.get());
    WorkerReply reply;
    if (!message || message->bytes.size() < sizeof(reply)) return onDeath(worker);
    std::memcpy(&reply, message->bytes.data(), sizeof(reply));
    SpawnResult result{std::move(worker.runId), message->bytes.substr(sizeof(reply)), reply.error, {}};
    worker.runId.clear();
    if (!message->fds.empty()) result.pidfd = std::move(message->fds[0]);
    give(worker);  // the next one first: it starts while this one's news are dealt with
    done_(std::move(result));
}

// A child of the supervisor's that is in this run's cgroup, ended or not.
UniqueFd Workers::initOf(const std::string& runId) const {
    const Procfs& procfs = *prepared_.procfs;
    for (const pid_t pid : procfs.children(prepared_.supervisor)) {
        const auto cgroups = procfs.read(pid, "cgroup");
        if (cgroups && cgroups->find("/" + runId) != std::string::npos) return UniqueFd(kernel::openPidfd(pid));
    }
    return {};
}

// A worker that died (a bug, or memory) costs the request that it had not carried out yet; its capsules are the supervisor's children
// and live on, the last one too, of which it had no time to tell.
void Workers::onDeath(Worker& worker) {
    loop_.remove(worker.socket.get());
    worker.socket.reset();
    if (worker.pid > 0) {
        ::kill(worker.pid, SIGKILL);
        ::waitpid(worker.pid, nullptr, 0);
    }
    const std::string lost = std::exchange(worker.runId, {});
    restart(worker);
    if (lost.empty()) return;
    UniqueFd init = initOf(lost);
    const bool born = static_cast<bool>(init);
    done_({lost, born ? "" : "spawn worker", born ? 0 : ECHILD, std::move(init)});
}

// No process to be had now (pids, memory) may be one in a second.
void Workers::restart(Worker& worker) {
    if (startOne(worker)) return give(worker);
    worker.pid = 0;
    loop_.at(monotonicUsec() + kRestartUsec, [this, &worker] { restart(worker); });
    if (std::ranges::none_of(workers_, [](const Worker& one) { return static_cast<bool>(one.socket); })) failQueue();
}

void Workers::failQueue() {
    for (auto& request : std::exchange(queue_, {})) failLater(std::move(request.runId), EAGAIN);
}

void Workers::failLater(std::string runId, int error) {
    loop_.at(monotonicUsec(), [this, runId = std::move(runId), error] { done_({runId, "spawn worker", error, {}}); });
}

}  // namespace recap::launcher
