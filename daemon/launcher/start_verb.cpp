// SPDX-License-Identifier: Apache-2.0
// START: what is checked before anything happens, whose turn it is, and what the worker gets.
#include <fcntl.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <climits>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/refusal.hpp"
#include "daemon/launcher/supervisor.hpp"

namespace recap::launcher {

namespace {

constexpr std::size_t kMostWaiting = 8 << 20;
constexpr int kSpareDescriptors = 128;  // kept for messages, and for what ends capsules

// Seen at the lowest of the last ones, the kernel gives out the lowest first; where that one is taken, for long maybe, all are counted.
bool descriptorsLeft(const Procfs& procfs) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const int last = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT_MAX)) - kSpareDescriptors;
    const UniqueFd lowest(::fcntl(procfs.fd(), F_DUPFD_CLOEXEC, last));
    return lowest.get() == last || procfs.ownDescriptors() < last;
}

}  // namespace

void Supervisor::recordRun(Priority priority, std::string_view messageId, std::string_view what, const Plan& plan,
                           std::string_view detail) {
    std::string message = std::string(what) + " run " + plan.runId + " of " + plan.capsule + " on " + plan.target;
    if (!detail.empty()) message += ": " + std::string(detail);
    const std::string uid = std::to_string(plan.callerUid), host = namespaceNames(hostNamespaces(plan, setup_.host));
    const std::initializer_list<Journal::Field> fields{{"RECAP_RUN_ID", plan.runId},
                                                       {"RECAP_CAPSULE", plan.capsule},
                                                       {"RECAP_TARGET", plan.target},
                                                       {"RECAP_IMAGE_DIGEST", plan.imageDigest},
                                                       {"RECAP_UID", uid},
                                                       {"RECAP_HOST_NAMESPACES", host},
                                                       {"RECAP_RECORD", what}};
    if (what == kRefused) return journal_.refused(message, fields, monotonicUsec());
    journal_.write(priority, messageId, message, fields);
}

// Everything that can be refused, before anything happens.
Result<Supervisor::Start> Supervisor::checked(Request& request) {
    constexpr std::size_t kMost = kMaxMessage - sizeof(FolderId);  // a worker gets that beside it
    if (request.message.bytes.size() > kMost)
        return fail(Errc::LimitExceeded,
                    "a plan of " + std::to_string(request.message.bytes.size()) + " bytes, at most " + std::to_string(kMost));
    auto plan = decode<Plan>(request.message.bytes);
    if (!plan) return forward(std::move(plan));
    if (auto checked = checkShape(*plan); !checked) return forward(std::move(checked));
    const auto expected = static_cast<std::size_t>(std::ranges::count(plan->stdio, Stdio::Given) + std::popcount(plan->attached));
    if (request.message.fds.size() != 1 + expected)
        return fail(Errc::InvalidArgument, "START comes with the target's pidfd and the stdio that its plan gives");
    std::vector<UniqueFd> given = std::move(request.message.fds);
    for (std::size_t i = 0, next = 1; i < 3; ++i) {
        const bool attached = (plan->attached >> i & 1) != 0;
        if (plan->stdio[i] != Stdio::Given && !attached) continue;
        const auto check = attached ? checkAttached : checkStdio;
        if (auto checked = check(given[next++].get(), static_cast<int>(i), *plan); !checked) return forward(std::move(checked));
    }
    auto facts = inspect(setup_.procfs, setup_.host, given[0].get(), false);
    if (!facts) return forward(std::move(facts));
    if (isOurs(*facts, setup_.ownMounts, setup_.cgroups.capsulesPrefix()))
        return fail(Errc::Denied, "process " + std::to_string(facts->pid) + " is RECap's own");
    if (auto checked = checkTarget(*plan, *facts, setup_.host, setup_.ceiling, setup_.prepared.features); !checked)
        return forward(std::move(checked));
    if (auto checked = checkCeiling(*plan, setup_.ceiling, *facts); !checked) return forward(std::move(checked));
    if (auto checked = setup_.store.check(plan->imageDigest, plan->layers); !checked) return forward(std::move(checked));
    if (runs_.contains(plan->runId)) return fail(Errc::AlreadyExists, "run " + plan->runId + " exists");
    if (auto alone = checkAlone(*plan); !alone) return forward(std::move(alone));
    if (stopping_) return fail(Errc::Unavailable, "recap-launcher is stopping");
    if (auto enforceable = setup_.cgroups.checkLimits(setup_.ceiling.limits); !enforceable) return forward(std::move(enforceable));
    if (plan->noFile == 0) plan->noFile = setup_.ceiling.noFile;
    return Start{std::move(*plan), std::move(given), {facts->rootDevice, facts->rootInode}};
}

// What of a worker's request does not need the run itself.
SpawnRequest Supervisor::spawnRequest(const Start& start, const Cgroup& cgroup, bool parked) {
    SpawnRequest spawn{start.plan.runId, encode(Verb::Start, 0, start.plan), {}, start.root};
    spawn.fds.resize(kV1Fds);
    spawn.fds[kTargetFd].reset(::fcntl(start.fds[0].get(), F_DUPFD_CLOEXEC, 3));
    spawn.fds[kCgroupFd] = cgroup.open();
    if (parked) return spawn;
    for (UniqueFd& procs : cgroup.v1Procs()) spawn.fds.push_back(std::move(procs));
    return spawn;
}

// Of one that is parked, if there is one and its cgroups can have these limits.
Result<Cgroup> Supervisor::cgroupFor(const Plan& plan, std::optional<std::string>& parked) {
    parked = parking_.take();
    auto cgroup = setup_.cgroups.create(plan.runId, plan.limits, parked);
    if (!cgroup && parked) {
        parking_.leave(*parked);
        for (const std::string& name : {plan.runId, *parked}) setup_.cgroups.removeLate(name);
        parked.reset();
        cgroup = setup_.cgroups.create(plan.runId, plan.limits);
    }
    if (cgroup && plan.processes == Processes::Join) cgroup->spareInit();
    return cgroup;
}

namespace {

bool joins(const Plan& plan) { return plan.processes == Processes::Join; }

// A capsule that may trace whatever it sees.
bool traces(const Plan& plan) { return joins(plan) && (plan.capabilities >> CAP_SYS_PTRACE & 1) != 0 && (plan.namespaces & kNsUser) == 0; }

}  // namespace

// Threat T3 among capsules: one on its way into a target's processes still has the launcher's rights, and the check of those processes
// lets it pass as ours. So nobody who may trace is on that way beside another.
Result<void> Supervisor::checkAlone(const Plan& plan) const {
    if (!joins(plan)) return {};
    for (const auto& [id, run] : runs_) {
        const bool onItsWay = !run->finished() && joins(run->plan()) && run->phase() != RunPhase::Executing;
        if (onItsWay && (traces(plan) || traces(run->plan())))
            return fail(Errc::Busy, "run " + id + " is joining processes, and one of the two has CAP_SYS_PTRACE; try again");
    }
    return {};
}

Result<void> Supervisor::launch(Start start, std::uint64_t received) {
    const Plan& plan = start.plan;
    auto& fds = start.fds;
    const std::uint32_t host = hostNamespaces(plan, setup_.host);
    const std::string where = host != 0 ? "in the host's " + namespaceNames(host) + " namespace" : "";
    recordRun(Priority::Info, kMessageStart, "START", plan, where);  // what fails from here on is recorded too
    faultPoint("supervisor", "start");
    auto frozen = plan.freeze ? setup_.freezer.freeze(setup_.procfs, plan.runId, fds[0].get()) : Result<UniqueFd>();
    if (!frozen) return forward(std::move(frozen));
    faultPoint("supervisor", "cgroup");
    std::optional<std::string> parked;
    auto cgroup = cgroupFor(plan, parked);
    faultPoint("supervisor", "prepare");
    if (!cgroup) {
        setup_.freezer.thaw(plan.runId);
        return forward(std::move(cgroup));
    }
    std::vector<UniqueFd> given(std::make_move_iterator(fds.begin() + 1), std::make_move_iterator(fds.end()));
    SpawnRequest spawn = spawnRequest(start, *cgroup, parked.has_value());
    auto run = std::make_unique<Run>(runHost_, plan, std::move(fds[0]), std::move(*cgroup), received);
    std::array<UniqueFd, 3> stdio;
    if (auto prepared = run->prepare(std::move(given), stdio, spawn.fds[kReportFd]); !prepared) {
        if (parked) parking_.leave(*parked);
        run->notSpawned("prepare", EIO);
        run.reset();
        setup_.freezer.thaw(plan.runId);
        if (setup_.cgroups.exists(plan.runId)) keepLeft(plan.runId, {});
        return prepared;
    }
    for (std::size_t i = 0; i < 3; ++i) spawn.fds[kStdinFd + i] = std::move(stdio[i]);
    if (UniqueFd terminal = run->takeTerminalMount()) spawn.fds.push_back(std::move(terminal));
    if (plan.freeze) spawn.fds.push_back(std::move(*frozen));
    runs_[plan.runId] = std::move(run);
    ++alive_;
    parking_.busy();
    parking_.expect(plan);
    faultPoint("supervisor", "spawn");
    if (parked)
        parking_.spawn(*parked, std::move(spawn));
    else
        workers_.spawn(std::move(spawn));
    return {};
}

Result<void> Supervisor::checkRoom() const {
    const std::size_t max = setup_.ceiling.maxRuns, all = alive_ + waiting_.size();
    if (all >= max)
        return fail(Errc::LimitExceeded, "ceiling: max.runs: " + std::to_string(all) + " of " + std::to_string(max) +
                                             " capsules are alive; try again when one has ended");
    if (!descriptorsLeft(setup_.procfs))
        return fail(Errc::LimitExceeded,
                    "recap-launcher's RLIMIT_NOFILE is used up by " + std::to_string(all) + " capsules; try again when one has ended");
    return {};
}

// A START waits as it came until a worker is near: so it costs the descriptors that came with it, and those of a run only in its turn.
void Supervisor::startRun(Request request) {
    if (auto room = checkRoom(); !room) return refuseStart(request, room.error());
    if (waitingBytes_ > kMostWaiting)
        return refuseStart(request, {Errc::LimitExceeded, std::to_string(waiting_.size()) + " runs wait for their turn; try again later"});
    waitingBytes_ += request.message.bytes.size();
    waiting_.push_back(std::move(request));
    startWaiting();
}

// Who asked for them is gone, and nobody would hear of them.
void Supervisor::dropWaiting(std::uint64_t client) {
    std::erase_if(waiting_, [&](const Request& request) {
        if (request.clientId != client) return false;
        waitingBytes_ -= request.message.bytes.size();
        return true;
    });
}

void Supervisor::startWaiting() {
    while (!waiting_.empty() && !workers_.full()) {
        Request next = std::move(waiting_.front());
        waiting_.pop_front();
        waitingBytes_ -= next.message.bytes.size();
        startNext(std::move(next));
    }
}

void Supervisor::startNext(Request request) {
    if (auto room = checkRoom(); !room) return refuseStart(request, room.error());
    auto start = checked(request);
    if (!start) return refuseStart(request, start.error());
    const std::string runId = start->plan.runId;
    if (auto launched = launch(std::move(*start), request.received); !launched) return refuseStart(request, launched.error(), kNotLaunched);
    std::vector<UniqueFd> log;
    if (const int fd = runs_.at(runId)->logFd(); fd >= 0) log.push_back(setup_.procfs.reopenReadOnly(fd));
    reply(request, Started{runId}, std::move(log));
}

void Supervisor::refuseStart(const Request& request, const Error& error, std::string_view record) {
    auto asked = decode<Plan>(request.message.bytes);
    Plan shown = asked ? std::move(*asked) : Plan{};
    for (std::string* text : {&shown.runId, &shown.capsule, &shown.target, &shown.imageDigest})
        text->resize(std::min<std::size_t>(text->size(), 512));
    recordRun(Priority::Warning, kMessageRefused, record, shown, error.message.substr(0, 4096));
    refuse(request, error);
}

}  // namespace recap::launcher
