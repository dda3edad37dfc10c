// SPDX-License-Identifier: Apache-2.0
// What each verb of the protocol does that is about a run; START: start_verb.cpp.
#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <bit>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/supervisor.hpp"
#include "daemon/launcher/tasks.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kCollectTimeoutUsec = 600ull * 1000000;
constexpr unsigned kMaxCollects = 8;               // at once
constexpr std::uint64_t kFirstRetryUsec = 250000;  // for what a capsule left; doubled up to
constexpr std::uint64_t kLastRetryUsec = 60000000;

// In the child that becomes recap-collect: the capsule's identity and no right at all.
bool becomeCapsuleUser(const Plan& plan) {
    cap_t none = ::cap_init();
    return ::prctl(PR_SET_SECUREBITS, 0x3 /* NOROOT, locked */, 0, 0, 0) == 0 && ::setgroups(0, nullptr) == 0 &&
           ::setresgid(plan.gid, plan.gid, plan.gid) == 0 && ::setresuid(plan.uid, plan.uid, plan.uid) == 0 &&
           kernel::hasIdentity(plan.uid, plan.gid) && ::cap_set_proc(none) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;  // a new identity loses it
}

}  // namespace

void Supervisor::hello(Request request) {
    auto hello = decode<Hello>(request.message.bytes);
    if (!hello) return refuse(request, hello.error());
    reply(request, greeting());
}

Hello Supervisor::greeting() const {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    return {kVersion, setup_.prepared.features, RECAP_VERSION, files.rlim_cur, setup_.ceiling.hostNamespaces};
}

void Supervisor::inspectTarget(Request request) {
    if (request.message.fds.size() != 1) return refuse(request, {Errc::InvalidArgument, "INSPECT takes one pidfd"});
    auto facts = inspect(setup_.procfs, setup_.host, request.message.fds[0].get(), true);
    if (!facts) return refuse(request, facts.error());
    reply(request, *facts);
}

Result<Run*> Supervisor::find(const std::string& runId) {
    const auto found = runs_.find(runId);
    if (found == runs_.end()) return fail(Errc::NotFound, "no run " + runId.substr(0, 40));
    return found->second.get();
}

void Supervisor::signalRun(Request request) {
    auto body = decode<SignalRequest>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    if (body->signal < 1 || body->signal > 64) return refuse(request, {Errc::InvalidArgument, "no signal " + std::to_string(body->signal)});
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    if (auto sent = (*run)->signal(body->signal); !sent) return refuse(request, sent.error());
    reply(request, Empty{});
}

void Supervisor::resizeRun(Request request) {
    auto body = decode<ResizeRequest>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    if (auto resized = (*run)->resize(body->rows, body->columns); !resized) return refuse(request, resized.error());
    reply(request, Empty{});
}

void Supervisor::attachRun(Request request) {
    auto body = decode<AttachRequest>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    auto ends = (*run)->attach(*body);
    if (!ends) return refuse(request, ends.error());
    recordRun(Priority::Info, kMessageStart, "ATTACH", (*run)->plan(), body->takeOver ? "taking over" : "");
    reply(request, Empty{}, {std::make_move_iterator(ends->begin()), std::make_move_iterator(ends->end())});
}

void Supervisor::stopRun(Request request) {
    auto body = decode<StopRequest>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    (*run)->stop(std::min(body->graceUsec, setup_.ceiling.maxGraceUsec));
    reply(request, Empty{});
}

void Supervisor::listRuns(Request request) {
    auto body = decode<RunRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    RunList list;
    std::size_t bytes = 0;
    for (auto at = runs_.upper_bound(body->runId); at != runs_.end() && list.runs.size() < kListPage; ++at) {
        const Run& run = *at->second;
        list.runs.push_back({run.phase(), run.report(), run.plan().capsule, run.plan().target, run.plan().callerUid, run.plan().boundTo,
                             run.plan().stdio[0] == Stdio::Terminal});
        Writer row;
        row(list.runs.back());
        bytes += row.bytes().size();
        if (bytes > kListPageBytes) break;
    }
    reply(request, list);
}

void Supervisor::ackRun(Request request) {
    auto body = decode<RunRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    if (!(*run)->finished()) return refuse(request, {Errc::Busy, "run " + body->runId + " has not ended"});
    faultPoint("supervisor", "ack");
    forget(body->runId, {});
    reply(request, Empty{});
}

void Supervisor::onEnded(const std::string& runId) {
    const auto found = runs_.find(runId);
    if (found == runs_.end()) return;  // refused while it was being prepared
    --alive_;
    parking_.busy();
    const Report& report = found->second->report();
    std::string detail = report.left.empty() ? "escape clean" : "left: ";
    for (const auto& one : report.left) detail += (&one == &report.left.front() ? "" : ", ") + one;
    if (report.end == End::NotStarted) detail = "step " + report.step + ": " + ::strerrordesc_np(report.error) + ", " + detail;
    recordRun(report.left.empty() ? Priority::Info : Priority::Error, kMessageEnd, "END", found->second->plan(), detail);
    const std::uint64_t bytes = found->second->estateBytes();
    estateBytes_ += bytes;
    const std::uint64_t expiry = monotonicUsec() + setup_.ceiling.estateKeepUsec;
    estates_[runId] = {loop_.at(expiry, [this, runId] { forget(runId, "past estate-keep"); }), bytes};
    UniqueFd init = found->second->takeInit();
    if (init || setup_.cgroups.exists(runId)) keepLeft(runId, std::move(init));
    boundEstate();
    if (stopping_ && alive_ == 0) loop_.stop();
}

// A finished run with its estate; `why` where it is dropped before recapd has acknowledged it.
void Supervisor::forget(const std::string& runId, std::string_view why) {
    const auto estate = estates_.extract(runId);
    if (estate.empty()) return;
    loop_.cancel(estate.mapped().expiry);
    estateBytes_ -= estate.mapped().bytes;
    const auto run = runs_.find(runId);
    if (!why.empty()) recordRun(Priority::Warning, kMessageEnd, "ESTATE-DROPPED", run->second->plan(), why);
    runs_.erase(run);
}

void Supervisor::keepLeft(const std::string& runId, UniqueFd init) {
    left_[runId] = std::move(init);
    if (left_.size() > 1) return;  // the timer runs
    leftWaitUsec_ = kFirstRetryUsec;
    loop_.at(monotonicUsec() + leftWaitUsec_, [this] { retryLeft(); });
}

void Supervisor::retryLeft() {
    for (auto at = left_.begin(); at != left_.end();) {
        auto& [id, init] = *at;
        siginfo_t info{};
        const int waited = init ? ::waitid(P_PIDFD, static_cast<id_t>(init.get()), &info, WEXITED | WNOHANG | __WALL) : -1;
        if (init && (waited == 0 ? info.si_pid != 0 : errno == ECHILD)) init.reset();
        if (!setup_.cgroups.removeLate(id) || init) {
            ++at;
            continue;
        }
        const std::string others = std::to_string(left_.size() - 1);
        journal_.write(Priority::Notice, kMessageEnd, "what was left of run " + id + " is gone now; still left of other runs: " + others,
                       {{"RECAP_RUN_ID", id}, {"RECAP_RECORD", "LEFT-GONE"}, {"RECAP_LEFT", others}});
        at = left_.erase(at);
    }
    if (left_.empty()) return;
    leftWaitUsec_ = std::min(leftWaitUsec_ * 2, kLastRetryUsec);
    loop_.at(monotonicUsec() + leftWaitUsec_, [this] { retryLeft(); });
}

// Oldest first, until all unread logs and artifacts together are within the ceiling's estate-max, and no more runs wait to be read
// than may be alive. Not the run that ended in this very call: it is still in use further up.
void Supervisor::boundEstate() {
    const auto over = [this] { return estateBytes_ > setup_.ceiling.estateMax || estates_.size() > setup_.ceiling.maxRuns; };
    if (!over()) return;
    loop_.at(monotonicUsec(), [this, over] {
        while (over()) forget(std::string(estates_.begin()->first), "over estate-max");
    });
}

void Supervisor::collect(Request request) {
    auto body = decode<RunRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    if (!(*run)->finished()) return refuse(request, {Errc::Busy, "run " + body->runId + " has not ended"});
    if ((*run)->artifactsFd() < 0) return refuse(request, {Errc::NotFound, "run " + body->runId + " has no artifacts"});
    if (collects_ >= kMaxCollects)
        return refuse(request,
                      {Errc::Busy, std::to_string(collects_) + " runs' artifacts are being collected; try again when one is done"});
    faultPoint("supervisor", "collect");
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return refuse(request, {Errc::Io, "pipe"});
    UniqueFd read(ends[0]);
    UniqueFd write(ends[1]);
    const Plan& plan = (*run)->plan();
    const int artifacts = (*run)->artifactsFd();
    const std::string program = setup_.helpers + "/recap-collect";
    auto started = runTask(
        loop_, kCollectTimeoutUsec, {artifacts, write.get()},
        [&] {
            const int folder = ::openat(artifacts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            faultPoint("collector", "identity");
            if (folder < 0 || !becomeCapsuleUser(plan)) return 126;
            faultPoint("collector", "execute");
            return executeHelper(program, std::to_string(plan.artifactsMax), -1, write.get(), folder);
        },
        [this, id = body->runId](TaskResult result) {
            --collects_;
            constexpr int kIncomplete = 3 << 8;  // a valid tar, with something left out and named
            if (!result.ok())
                journal_.write(
                    Priority::Warning, kMessageEnd,
                    "collecting the artifacts of run " + id + (result.status == kIncomplete ? " left out: " : " failed: ") + result.output);
        });
    if (!started) return refuse(request, started.error());
    ++collects_;
    std::vector<UniqueFd> fds;
    fds.push_back(std::move(read));
    reply(request, Empty{}, std::move(fds));
}

void Supervisor::openLog(Request request) {
    auto body = decode<RunRef>(request.message.bytes);
    if (!body) return refuse(request, body.error());
    auto run = find(body->runId);
    if (!run) return refuse(request, run.error());
    if ((*run)->logFd() < 0)
        return refuse(request, {Errc::NotFound, "run " + body->runId + " has no log here: its caller gave descriptors"});
    std::vector<UniqueFd> fds;
    fds.push_back(setup_.procfs.reopenReadOnly((*run)->logFd()));
    reply(request, Empty{}, std::move(fds));
}

}  // namespace recap::launcher
