// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/worker_process.hpp"

#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <utility>

#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/reaping.hpp"
#include "daemon/launcher/transport.hpp"
#include "daemon/launcher/weaken.hpp"
#include "daemon/launcher/worker.hpp"

namespace recap::launcher {

namespace {

// A child of the supervisor's that is in this run's cgroup, ended or not, other than the run's own parked worker.
UniqueFd initOf(const Prepared& prepared, const std::string& runId, pid_t worker) {
    const Procfs& procfs = *prepared.procfs;
    for (const pid_t pid : procfs.children(prepared.supervisor)) {
        if (pid == worker) continue;
        const auto cgroups = procfs.read(pid, "cgroup");
        if (cgroups && cgroups->find("/" + runId) != std::string::npos) return UniqueFd(kernel::openPidfd(pid));
    }
    return {};
}

void inTime(Loop& loop, WorkerProcess& worker) {
    if (const auto deadline = std::exchange(worker.deadline, std::nullopt)) loop.cancel(*deadline);
}

}  // namespace

Result<void> startWorker(WorkerProcess& worker, const Prepared& prepared, const Store& store, std::vector<UniqueFd> procs) {
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
    if (worker.pid > 0) return {};
    // Nothing of the supervisor's is inherited but what a spawn needs; the store's, procfs' and seed's descriptors stay.
    const int socket = theirs.release();
    keepOnly(socket, prepared, store, procs);
    if (procs.empty()) runWorker(socket, prepared, store);
    runParkedWorker(socket, prepared, store, std::move(procs));
}

Result<void> give(Loop& loop, WorkerProcess& worker, const SpawnRequest& request, std::function<void()> late) {
    std::vector<int> fds;
    for (const auto& fd : request.fds) fds.push_back(fd.get());
    const std::string root(reinterpret_cast<const char*>(&request.root), sizeof(request.root));
    auto sent = sendMessage(worker.socket.get(), root + request.plan, fds);
    if (!sent || request.runId.empty()) return sent;
    worker.runId = request.runId;
    if (weakened(Threat::Stalling)) return sent;
    worker.deadline = loop.at(monotonicUsec() + kAnswerUsec, [&worker, late = std::move(late)] {
        worker.deadline.reset();
        late();
    });
    return sent;
}

std::optional<SpawnResult> answerOf(Loop& loop, WorkerProcess& worker) {
    inTime(loop, worker);
    auto message = receiveMessage(worker.socket.get());
    WorkerReply reply;
    if (!message || message->bytes.size() < sizeof(reply)) return std::nullopt;
    std::memcpy(&reply, message->bytes.data(), sizeof(reply));
    SpawnResult result{std::exchange(worker.runId, {}), message->bytes.substr(sizeof(reply)), reply.error, {}};
    if (!message->fds.empty()) result.pidfd = std::move(message->fds[0]);
    return result;
}

SpawnResult bury(Loop& loop, WorkerProcess& worker, const Prepared& prepared, int error, UniqueFd held) {
    inTime(loop, worker);
    worker.socket.reset();
    const pid_t pid = std::exchange(worker.pid, 0);
    if (pid > 0) killAndReap(loop, pid, std::move(held));
    std::string lost = std::exchange(worker.runId, {});
    if (lost.empty()) return {};
    UniqueFd init = initOf(prepared, lost, pid);
    const bool born = static_cast<bool>(init);
    return {std::move(lost), born ? "" : "spawn worker", born ? 0 : error, std::move(init)};
}

}  // namespace recap::launcher
