// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/worker.hpp"

#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstring>

#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/transport.hpp"

namespace recap::launcher {

namespace {

// What was just started comes first: so long, in ms, until the worker makes the next root.
constexpr int kPause = 3;

// The target's procfs, read-only, seen from outside its pid namespace (observe). Its links can be read and not followed: with the
// target's own uid /proc/1/root would otherwise lead out of the capsule into the target's files, writable.
int mountTargetProc(Attach& attach, pid_t pid) {
    auto pidNamespace = attach.prepared->procfs->open(pid, "ns/pid", O_RDONLY);
    UniqueFd context(::fsopen("proc", FSOPEN_CLOEXEC));
    if (!pidNamespace || !context) return -1;
    if (kernel::setFd(context.get(), "pidns", pidNamespace->get()) != 0) return -1;
    attach.proc.reset(kernel::createMount(
        context.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW));
    return attach.proc ? 0 : -1;
}

// What must be opened by pid; the caller then looks once more that the pid was still the target's.
const char* openTarget(Attach& attach) {
    auto pid = attach.prepared->procfs->pidOf(attach.target.get());
    if (!pid) {
        errno = ESRCH;
        return "target";
    }
    if (attach.plan.view != View::None) {
        auto root = attach.prepared->procfs->open(*pid, "root", O_PATH);
        if (!root) return "target's root";
        attach.targetRoot = std::move(*root);
    }
    if (attach.plan.processes == Processes::Observe && mountTargetProc(attach, *pid) != 0) return "target's processes";
    if (alive(attach.target.get())) return nullptr;
    errno = ESRCH;
    return "target";
}

const char* openRoot(Attach& attach, const Store& store, Roots& roots) {
    std::vector<UniqueFd> layers;
    for (const auto& id : attach.plan.layers) {
        auto layer = store.openLayer(id);
        if (!layer) return "layers";
        layers.push_back(std::move(*layer));
    }
    attach.root = roots.take(attach.plan, layers);
    return attach.root ? nullptr : "root";
}

void fillVectors(Attach& attach) {
    for (auto& text : attach.plan.argv) attach.argv.push_back(text.data());
    for (auto& text : attach.plan.env) attach.envp.push_back(text.data());
    attach.argv.push_back(nullptr);
    attach.envp.push_back(nullptr);
}

// A namespace that the plan does not join is the capsule's own.
std::uint64_t ownNamespaces(const Plan& plan) {
    std::uint64_t flags = CLONE_NEWPID;
    if ((plan.namespaces & kNsNet) == 0) flags |= CLONE_NEWNET;
    if ((plan.namespaces & kNsIpc) == 0) flags |= CLONE_NEWIPC;
    if ((plan.namespaces & kNsUts) == 0) flags |= CLONE_NEWUTS;
    return flags;
}

pid_t cloneInit(Attach& attach, int cgroup, int& pidfd) {
    clone_args args{};
    args.flags = ownNamespaces(attach.plan) | CLONE_PIDFD | CLONE_PARENT | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    args.cgroup = static_cast<std::uint64_t>(cgroup);
    const pid_t pid = kernel::clone3(args);
    if (pid == 0) runCapsuleInit(attach);
    return pid;
}

struct Spawned {
    const char* step = nullptr;
    int error = 0;
    pid_t pid = 0;
    UniqueFd pidfd;
};

// `attach` is the child's, and outlives the answer here: letting go of it is work, and nobody need wait for it.
Spawned spawn(Attach& attach, Message& request, const Prepared& prepared, const Store& store, Roots& roots, Plan plan) {
    attach.prepared = &prepared;
    attach.plan = std::move(plan);
    auto& fds = request.fds;
    attach.target = std::move(fds[kTargetFd]);
    attach.report = std::move(fds[kReportFd]);
    for (std::size_t i = 0; i < 3; ++i) attach.stdio[i] = std::move(fds[kStdinFd + i]);
    if (attach.plan.stdio[0] == Stdio::Terminal) {
        attach.terminal = std::move(fds.back());
        fds.pop_back();
    }
    for (std::size_t i = kV1Fds; i < fds.size(); ++i) attach.v1Procs.push_back(std::move(fds[i]));
    auto filter = readFilter(attach.plan.filter);
    if (filter) attach.filter = std::move(*filter);
    fillVectors(attach);
    Spawned spawned;
    errno = 0;
    spawned.step = openTarget(attach);
    if (spawned.step == nullptr) spawned.step = openRoot(attach, store, roots);
    if (spawned.step == nullptr) {
        int pidfd = -1;
        spawned.pid = cloneInit(attach, fds[kCgroupFd].get(), pidfd);
        if (spawned.pid < 0) spawned.step = "clone";
        spawned.pidfd.reset(pidfd);
    }
    spawned.error = spawned.step != nullptr ? (errno != 0 ? errno : EIO) : 0;
    return spawned;
}

void answer(int socket, const std::string& runId, const Spawned& spawned) {
    WorkerReply reply;
    reply.error = spawned.error;
    reply.pid = spawned.pid;
    std::memcpy(reply.runId, runId.data(), std::min(runId.size(), sizeof(reply.runId)));
    std::string bytes(reinterpret_cast<const char*>(&reply), sizeof(reply));
    if (spawned.step != nullptr) bytes += spawned.step;
    const int fds[] = {spawned.pidfd.get()};
    static_cast<void>(sendMessage(socket, bytes, spawned.pidfd ? std::span<const int>(fds) : std::span<const int>()));
}

}  // namespace

void keepOnly(int socket, const Prepared& prepared, const Store& store) {
    std::vector<int> kept{socket,          prepared.procfs->fd(), prepared.seed.get(), prepared.ownMounts.get(), prepared.device.get(),
                          store.layersFd()};
    std::ranges::sort(kept);
    unsigned from = 3;
    for (int fd : kept) {
        if (static_cast<unsigned>(fd) > from) ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
        from = std::max(from, static_cast<unsigned>(fd) + 1);
    }
    ::close_range(from, ~0u, 0);
}

void runWorker(int socket, const Prepared& prepared, const Store& store) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::prctl(PR_SET_NAME, "recap-spawn", 0, 0, 0);
    kernel::resetSignals();
    Roots roots;
    for (;;) {
        pollfd waiting{socket, POLLIN, 0};
        if (roots.lacksNext() && ::poll(&waiting, 1, kPause) == 0) roots.makeNext();
        auto request = receiveMessage(socket);
        if (!request) ::_exit(request.error().code == Errc::Unavailable ? 0 : 1);
        auto plan = decode<Plan>(request->bytes);
        if (!plan || request->fds.size() < kV1Fds + (plan->stdio[0] == Stdio::Terminal)) ::_exit(1);
        const std::string runId = plan->runId;
        Attach attach;
        const Spawned spawned = spawn(attach, *request, prepared, store, roots, std::move(*plan));
        answer(socket, runId, spawned);
    }
}

}  // namespace recap::launcher
