// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/worker.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "daemon/launcher/cgroup.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/descriptors.hpp"
#include "daemon/launcher/fallback_procfs.hpp"
#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/transport.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

// What was just started comes first: so long, in ms, until the worker makes the next root.
constexpr int kPause = 3;

constexpr const char* kTracersStep = "check for processes of the target that may trace any other";

// The target's procfs, read-only, seen from outside its pid namespace (observe). Its links can be read and not followed: with the
// target's own uid /proc/1/root would otherwise lead out of the capsule into the target's files, writable.
int mountTargetProc(Attach& attach, pid_t pid, unsigned further = MOUNT_ATTR_NOSYMFOLLOW) {
    auto pidNamespace = attach.prepared->procfs->open(pid, "ns/pid", O_RDONLY);
    if (!pidNamespace) return -1;
    const bool fromOutside = (attach.prepared->features & kFeatureObserve) != 0;
    const UniqueFd context = fromOutside ? UniqueFd(::fsopen("proc", FSOPEN_CLOEXEC)) : openProcOf(*attach.prepared, pidNamespace->get());
    if (!context || (fromOutside && kernel::setFd(context.get(), "pidns", pidNamespace->get()) != 0)) return -1;
    attach.proc.reset(
        kernel::createMount(context.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | further));
    return attach.proc && isProcfs(attach.proc.get()) ? 0 : -1;
}

// Every process that shares the target's pid namespace, or one below it.
int checkTracers(Attach& attach, pid_t pid) {
    if (weakened(Threat::TracingTarget)) return 0;
    const Procfs& procfs = *attach.prepared->procfs;
    const auto joined = procfs.namespaceInode(pid, "pid");
    const auto opened = procfs.open(pid, "ns/pid", O_RDONLY);
    auto above = opened ? pidNamespacesAbove(*attach.prepared, opened->get()) : std::nullopt;
    if (!joined || !above || !above->contains(*joined)) return -1;
    attach.pidNamespaces = std::move(*above);
    // From outside only: nobody is to visit a namespace that may hold a tracer.
    const bool fromOutside = (attach.prepared->features & kFeatureObserve) != 0;
    const bool within = fromOutside && mountTargetProc(attach, pid, 0) == 0;
    return refuseTracers(*attach.prepared, *joined, attach.pidNamespaces, within ? UniqueFd(attach.proc.release()).get() : -1);
}

// The plan's ids are the host's; setresuid(2) takes the user namespace's own.
bool findIdentity(Attach& attach, pid_t pid) {
    attach.identity = {attach.plan.uid, attach.plan.gid};
    if ((attach.plan.namespaces & kNsUser) == 0) return true;
    const Procfs& procfs = *attach.prepared->procfs;
    const auto uids = procfs.read(pid, "uid_map"), gids = procfs.read(pid, "gid_map");
    const auto uid = uids ? insideOf(parseIdMap(*uids), attach.plan.uid) : std::nullopt;
    const auto gid = gids ? insideOf(parseIdMap(*gids), attach.plan.gid) : std::nullopt;
    errno = EINVAL;
    if (!uid || !gid) return false;
    attach.identity = {*uid, *gid};
    return true;
}

// What must be opened by pid; the caller then looks once more that the pid was still the target's.
const char* openTarget(Attach& attach) {
    auto pid = attach.prepared->procfs->pidOf(attach.target.get());
    if (!pid) {
        errno = ESRCH;
        return "target";
    }
    if (attach.plan.view != View::None || attach.plan.processes == Processes::Join) {
        auto root = attach.prepared->procfs->open(*pid, "root", O_PATH);
        if (!root) return "target's root";
        const auto id = folderId(root->get());
        errno = ESTALE;  // the target has changed it since the plan was checked
        if (!id || (*id != attach.checkedRoot && !weakened(Threat::SwappedTarget))) return "target's root";
        attach.targetRoot = std::move(*root);
    }
    if (attach.plan.processes == Processes::Observe && mountTargetProc(attach, *pid) != 0) return "target's processes";
    if (attach.plan.processes == Processes::Join && checkTracers(attach, *pid) != 0) return kTracersStep;
    if (!findIdentity(attach, *pid)) return "identity in the user namespace";
    if (alive(attach.target.get())) return nullptr;
    errno = ESRCH;
    return "target";
}

std::optional<std::vector<UniqueFd>> openLayers(const Plan& plan, int layersFd) {
    std::vector<UniqueFd> layers;
    for (const auto& id : plan.layers) {
        auto layer = Store::openLayer(layersFd, id);
        if (!layer) return std::nullopt;
        layers.push_back(std::move(*layer));
    }
    return layers;
}

const char* openRoot(Attach& attach, int layersFd, Roots& roots) {
    auto layers = openLayers(attach.plan, layersFd);
    if (!layers) return "layers";
    const bool merged = attach.plan.view == View::Merged;  // each is another one: mergeRoot() makes it
    if (merged)
        attach.layers = std::move(*layers);
    else
        attach.root = roots.take(attach.plan, *layers);
    return merged || attach.root ? nullptr : "root";
}

void fillVectors(Attach& attach) {
    for (auto& text : attach.plan.argv) attach.argv.push_back(text.data());
    for (auto& text : attach.plan.env) attach.envp.push_back(text.data());
    attach.argv.push_back(nullptr);
    attach.envp.push_back(nullptr);
}

// A namespace that the plan does not join is the capsule's own.
std::uint64_t ownNamespaces(const Plan& plan) {
    const bool enters = plan.processes == Processes::Join || weakened(Threat::TracingAfterExec);
    std::uint64_t flags = enters ? 0 : CLONE_NEWPID;
    if ((plan.namespaces & kNsNet) == 0) flags |= CLONE_NEWNET;
    if ((plan.namespaces & kNsIpc) == 0) flags |= CLONE_NEWIPC;
    if ((plan.namespaces & kNsUts) == 0) flags |= CLONE_NEWUTS;
    return flags;
}

// Killed by itself: the init, outside it, reaps what would otherwise be zombies under the target's PID 1.
int makePayloadCgroup(Attach& attach, int cgroup) {
    if (::mkdirat(cgroup, kPayloadCgroup, 0755) != 0) return -1;
    attach.payloadCgroup.reset(::openat(cgroup, kPayloadCgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return attach.payloadCgroup ? 0 : -1;
}

[[maybe_unused]] void waitForEnd(int (&pipe)[2]) {
    char none = 0;
    ::close(pipe[1]);
    static_cast<void>(::read(pipe[0], &none, 1) < 0);
    ::close(pipe[0]);
}

pid_t cloneInit(Attach& attach, int cgroup, int& pidfd) {
    clone_args args{};
    args.flags = ownNamespaces(attach.plan) | CLONE_PIDFD | CLONE_PARENT | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    args.cgroup = static_cast<std::uint64_t>(cgroup);
    const bool joins = attach.plan.processes == Processes::Join, enters = (args.flags & CLONE_NEWPID) == 0;
    if (joins && makePayloadCgroup(attach, cgroup) != 0) return -1;
    if (enters && ::setns(attach.target.get(), CLONE_NEWPID) != 0) return -1;
    int started[2] = {-1, -1};  // T15: closed by the child when its payload executes, as the end of a vfork would be
    if (joins && weakened(Threat::Stalling) && ::pipe2(started, O_CLOEXEC) != 0) return -1;
    const pid_t pid = kernel::clone3(args);
    if (pid == 0) runCapsuleInit(attach);
    const int error = errno;
    if (weakened(Threat::Stalling)) waitForEnd(started);
    // A worker whose children went on into a target's pid namespace would be of no use to anybody.
    if (enters && ::setns(attach.prepared->ownPids.get(), CLONE_NEWPID) != 0) ::_exit(1);
    errno = error;
    return pid;
}

struct Spawned {
    const char* step = nullptr;
    int error = 0;
    pid_t pid = 0;
    UniqueFd pidfd;
};

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

class Worker {
public:
    Worker(int socket, const Prepared& prepared, const Store& store, bool parked);
    [[noreturn]] void serve();

private:
    int layersFd(const Plan& plan) const { return workshop_ && plan.view != View::Merged ? workshop_->layersFd() : store_.layersFd(); }
    std::size_t descriptorsOf(const Plan& plan) const { return kV1Fds + parked_ + (plan.stdio[0] == Stdio::Terminal) + plan.freeze; }
    Spawned spawn(Attach& attach, Message& request, Plan plan, const FolderId& root);
    void makeAhead(const Plan& plan);

    const int socket_;
    const Prepared& prepared_;
    const Store& store_;
    const bool parked_;
    std::optional<Workshop> workshop_;
    Roots roots_;
};

Worker::Worker(int socket, const Prepared& prepared, const Store& store, bool parked)
    : socket_(socket), prepared_(prepared), store_(store), parked_(parked) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::prctl(PR_SET_NAME, parked ? "recap-parked" : "recap-spawn", 0, 0, 0);
    kernel::resetSignals();
    if ((prepared.features & kFeatureLayers) == 0)
        if (auto made = Workshop::make(prepared, store.layersFd())) workshop_ = std::move(*made);
    roots_ = Roots(workshop_ ? &*workshop_ : nullptr);
}

// `attach` is the child's, and outlives the answer here: letting go of it is work, and nobody need wait for it.
Spawned Worker::spawn(Attach& attach, Message& request, Plan plan, const FolderId& root) {
    attach.prepared = &prepared_;
    attach.worker = socket_;
    attach.plan = std::move(plan);
    attach.checkedRoot = root;
    auto& fds = request.fds;
    attach.target = std::move(fds[kTargetFd]);
    attach.report = std::move(fds[kReportFd]);
    for (std::size_t i = 0; i < 3; ++i) attach.stdio[i] = std::move(fds[kStdinFd + i]);
    if (attach.plan.freeze) {
        attach.frozen = std::move(fds.back());
        fds.pop_back();
    }
    if (attach.plan.stdio[0] == Stdio::Terminal) {
        attach.terminal = std::move(fds.back());
        fds.pop_back();
    }
    if (parked_)
        attach.alone = std::move(fds[kV1Fds]);
    else
        for (std::size_t i = kV1Fds; i < fds.size(); ++i) attach.v1Procs.push_back(std::move(fds[i]));
    auto filter = readFilter(attach.plan.filter);
    if (filter) attach.filter = std::move(*filter);
    fillVectors(attach);
    Spawned spawned;
    errno = 0;
    faultPoint("worker", "target");
    spawned.step = openTarget(attach);
    faultPoint("worker", "root");
    if (spawned.step == nullptr) spawned.step = openRoot(attach, layersFd(attach.plan), roots_);
    if (spawned.step == nullptr) {
        int pidfd = -1;
        faultPoint("worker", "clone");
        spawned.pid = cloneInit(attach, fds[kCgroupFd].get(), pidfd);
        if (spawned.pid < 0) spawned.step = "clone";
        spawned.pidfd.reset(pidfd);
    }
    spawned.error = spawned.step != nullptr ? (errno != 0 ? errno : EIO) : 0;
    return spawned;
}

void Worker::makeAhead(const Plan& plan) {
    if (plan.view == View::Merged) return;
    if (auto layers = openLayers(plan, layersFd(plan))) roots_.makeAhead(plan, *layers);
}

void Worker::serve() {
    for (;;) {
        pollfd waiting{socket_, POLLIN, 0};
        if (!parked_ && roots_.lacksNext() && ::poll(&waiting, 1, kPause) == 0) roots_.makeNext();
        auto request = receiveMessage(socket_);
        if (!request) ::_exit(request.error().code == Errc::Unavailable ? 0 : 1);
        FolderId root;
        if (request->bytes.size() < sizeof(root)) ::_exit(1);
        std::memcpy(&root, request->bytes.data(), sizeof(root));
        auto plan = decode<Plan>(std::string_view(request->bytes).substr(sizeof(root)));
        if (plan && parked_ && request->fds.empty()) {
            makeAhead(*plan);
            continue;
        }
        if (!plan || request->fds.size() < descriptorsOf(*plan)) ::_exit(1);
        const std::string runId = plan->runId;
        Attach attach;
        faultPoint("worker", "request");
        const Spawned spawned = spawn(attach, *request, std::move(*plan), root);
        faultPoint("worker", "answer");
        answer(socket_, runId, spawned);
        faultPoint("worker", "answered");
        if (parked_) ::_exit(0);
    }
}

}  // namespace

void keepOnly(int socket, const Prepared& prepared, const Store& store, const std::vector<UniqueFd>& procs) {
    std::vector<int> kept{socket,
                          prepared.procfs->fd(),
                          prepared.seed.get(),
                          prepared.ownMounts.get(),
                          prepared.ownPids.get(),
                          prepared.device.get(),
                          store.layersFd()};
    for (const auto& one : procs) kept.push_back(one.get());
    keepDescriptors(std::move(kept));
}

void runWorker(int socket, const Prepared& prepared, const Store& store) { Worker(socket, prepared, store, false).serve(); }

void runParkedWorker(int socket, const Prepared& prepared, const Store& store, std::vector<UniqueFd> procs) {
    Worker worker(socket, prepared, store, true);
    for (const auto& one : procs)
        if (::write(one.get(), "0", 1) != 1) ::_exit(1);
    procs.clear();
    faultPoint("worker", "parked");
    answer(socket, {}, {});
    worker.serve();
}

}  // namespace recap::launcher
