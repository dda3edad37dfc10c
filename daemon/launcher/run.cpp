// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/run.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/inspect.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/weaken.hpp"
#include "daemon/launcher/written.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kSettleUsec = 2000000;  // how long a killed capsule may take to be gone before the report says what is left
constexpr std::uint64_t kHangUpUsec = 1000000;  // how long a terminal's payload has for TERM, which interactive shells ignore
constexpr std::uint64_t kSettleRetryUsec = 2000;
constexpr std::uint64_t kJoinedRetryUsec = 20000;

// "Exited with" as a shell would say it.
int shellStatus(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

Run::Run(RunHost& host, const Plan& plan, UniqueFd target, Cgroup cgroup, std::uint64_t received)
    : host_(host), plan_(plan), cgroup_(std::move(cgroup)), target_(std::move(target)), streams_(host.loop, host.streams) {
    plan_.filter.clear();
    report_.runId = plan.runId;
    report_.received = received;
    report_.unenforcedLimits = cgroup_.unenforced();
    lastEnd_ = received + plan.timeoutUsec + plan.graceUsec;
    deadline_ = host_.loop.at(received + plan.timeoutUsec, [this] {
        deadline_.reset();
        end(End::TimedOut, plan_.graceUsec);
    });
    host_.loop.add(target_.get(), EPOLLIN, [this](std::uint32_t) {
        host_.loop.remove(target_.get());
        kill(End::TargetGone);
    });
}

Run::~Run() { unwatch(); }

Result<void> Run::prepare(std::vector<UniqueFd> given, std::array<UniqueFd, 3>& payloadStdio, UniqueFd& reportForInit) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return failErrno("socketpair");
    news_.reset(pair[0]);
    reportForInit.reset(pair[1]);
    ::fcntl(pair[1], F_SETFL, 0);  // the init's end blocks
    if (!host_.loop.add(news_.get(), EPOLLIN, [this](std::uint32_t events) { onNews(events); }))
        return failErrno("watch the report socket");
    return streams_.open(plan_, std::move(given), payloadStdio);
}

void Run::spawned(UniqueFd initPidfd) {
    faultPoint("supervisor", "spawned");
    init_ = std::move(initPidfd);
    host_.loop.add(init_.get(), EPOLLIN, [this](std::uint32_t) { onInitGone(); });
    if (why_) kill(*why_);  // ended while the worker was at it
}

void Run::notSpawned(std::string step, int error) {
    report_.end = why_.value_or(targetEnds() ? End::TargetGone : End::NotStarted);
    report_.step = std::move(step);
    report_.error = error;
    exited_ = true;
    settle();
}

RunPhase Run::phase() const {
    if (finished_) return RunPhase::Finished;
    return report_.executing != 0 ? RunPhase::Executing : RunPhase::Attached;
}

std::uint64_t Run::estateBytes() const { return streams_.logKept() + (artifacts_ ? plan_.artifactsMax : 0); }

void Run::publish(RunPhase phase) { host_.publish({phase, report_}); }

void Run::onNews(std::uint32_t) {
    for (;;) {
        auto message = receiveMessage(news_.get());
        if (message) {
            take(std::move(*message));
            continue;
        }
        if (message.error().code != Errc::Busy) host_.loop.remove(news_.get());  // the init closed it by dying
        return;
    }
}

void Run::takeFds(int which, std::vector<UniqueFd> fds) {
    std::size_t next = 0;
    for (const auto& [bit, fd] : {std::pair{kArtifactsFd, &artifacts_}, {kUpperFd, &upper_}})
        if ((which & bit) != 0 && next < fds.size()) *fd = std::move(fds[next++]);
}

void Run::take(Message message) {
    auto news = readNews(message.bytes);
    if (!news) return;
    const InitMessage& what = news->what;
    switch (what.news) {
        case InitNews::Attached:
            faultPoint("supervisor", "attached");
            report_.attached = what.time;
            takeFds(what.value, std::move(message.fds));
            report_.omittedMounts = std::move(news->omitted);
            return publish(RunPhase::Attached);
        case InitNews::Executing:
            faultPoint("supervisor", "executing");
            report_.executing = what.time;
            if (!message.fds.empty()) payload_ = std::move(message.fds[0]);
            if (why_) kernel::signalPidfd(payload_.get(), SIGTERM);
            return publish(RunPhase::Executing);
        case InitNews::Failed:
            report_.end = targetEnds() ? End::TargetGone : End::NotStarted;  // it goes away under whatever step there is
            report_.step = std::move(news->step);
            report_.error = what.value;
            exited_ = true;
            return;
        case InitNews::Exited:
            faultPoint("supervisor", "exited");
            report_.finished = what.time;
            recordExit(what.value);
            if (!joins() || settleUntil_ != 0) return;
            settleUntil_ = monotonicUsec() + kSettleUsec;
            return endJoined();
    }
}

bool Run::targetEnds() const {
    const auto pid = host_.procfs.pidOf(target_.get());
    const auto stat = pid ? host_.procfs.stat(*pid) : Result<ProcessStat>(fail(Errc::TargetGone, {}));
    return !stat || stat->exiting();
}

// Where the first process of a pid namespace ends, the kernel first ends all others in it, the capsule too, and then says so.
void Run::noticeTarget() {
    if (!why_ && joins() && targetEnds()) why_ = End::TargetGone;
}

void Run::recordExit(int status) {
    exited_ = true;
    noticeTarget();
    if (why_) {
        report_.end = *why_;
        report_.value = shellStatus(status);
        return;
    }
    report_.end = WIFSIGNALED(status) ? End::Signalled : End::Exited;
    report_.value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

Result<void> Run::signal(int number) {
    if (finished_ || !payload_) return fail(Errc::NotFound, "run " + plan_.runId + " has no payload to signal");
    if (kernel::signalPidfd(payload_.get(), number) != 0) return failErrno("signal run " + plan_.runId);
    return {};
}

Result<std::array<UniqueFd, 3>> Run::attach(const AttachRequest& request) {
    if (finished_) return fail(Errc::NotFound, "run " + plan_.runId + " has ended; its output is in its log");
    auto ends = streams_.attach(request.takeOver, request.replay);
    return ends ? std::move(ends) : forward(std::move(ends), "run " + plan_.runId);
}

Result<void> Run::resize(std::uint32_t rows, std::uint32_t columns) {
    if (finished_) return fail(Errc::NotFound, "run " + plan_.runId + " has ended");
    auto resized = streams_.resize(rows, columns);
    return resized ? std::move(resized) : forward(std::move(resized), "run " + plan_.runId);
}

// TERM for the payload now, HUP where it has a terminal and does not mind, and the whole capsule killed after the grace. Asking again
// can only bring that nearer.
void Run::end(End why, std::uint64_t graceUsec) {
    if (finished_ || settleUntil_ != 0) return;
    if (graceUsec == 0) return kill(why);
    if (!why_) why_ = why;
    if (payload_) kernel::signalPidfd(payload_.get(), SIGTERM);
    const std::uint64_t at = std::min(monotonicUsec() + graceUsec, lastEnd_);
    if (killing_ && at >= lastEnd_) return;
    killing_ = true;
    lastEnd_ = at;
    const std::uint64_t hangUp = monotonicUsec() + kHangUpUsec;
    if (plan_.stdio[0] != Stdio::Terminal || hangUp >= at) return setTimer(at, [this] { kill(*why_); });
    setTimer(hangUp, [this, at] {
        if (payload_) kernel::signalPidfd(payload_.get(), SIGHUP);
        setTimer(at, [this] { kill(*why_); });
    });
}

void Run::kill(End why) {
    if (finished_ || settleUntil_ != 0) return;
    if (!why_) why_ = why;
    faultPoint("supervisor", "kill");
    if (!init_) return;  // the worker has not answered yet: spawned() comes back here
    settleUntil_ = monotonicUsec() + kSettleUsec;
    if (joins() && !weakened(Threat::Zombies)) return endJoined();
    kernel::signalPidfd(init_.get(), SIGKILL);  // PID 1: the kernel kills and reaps the rest of its namespace
    cgroup_.kill();
    // A process that waits for a server of the target's in the kernel does not end by a signal: its end is not waited for.
    setTimer(settleUntil_, [this] { finish(); });
}

// In the target's pid namespace what dies after its init is a zombie of the target's: all but the init is killed, which then reaps
// and ends by itself. Again and again, as a target may stop it, and may have kept its payload from being started yet.
void Run::endJoined() {
    faultPoint("supervisor", "end joined");
    cgroup_.killPayload();
    kernel::signalPidfd(init_.get(), SIGCONT);
    if (monotonicUsec() < settleUntil_ || weakened(Threat::PinnedZombie))
        return setTimer(monotonicUsec() + kJoinedRetryUsec, [this] { endJoined(); });
    kernel::signalPidfd(init_.get(), SIGKILL);
    cgroup_.kill();
    settleUntil_ = monotonicUsec() + kSettleUsec;
    setTimer(settleUntil_, [this] { finish(); });
}

void Run::onInitGone() {
    faultPoint("supervisor", "init gone");
    host_.loop.remove(init_.get());
    onNews(EPOLLIN);  // what it said last
    siginfo_t info{};
    // A tracer may hold it back: then it is left, and reaped later.
    const int waited = ::waitid(P_PIDFD, static_cast<id_t>(init_.get()), &info, WEXITED | WNOHANG | __WALL);
    if (waited == 0 ? info.si_pid != 0 : errno == ECHILD) init_.reset();
    reaped_ = !init_ && info.si_code == CLD_EXITED;
    recordLoss();
    settle();
}

// Where nobody said how the payload ended: its init died with it, or has not died at all.
void Run::recordLoss() {
    if (exited_) return;
    exited_ = true;
    noticeTarget();
    report_.end = why_.value_or(report_.executing != 0 ? End::Signalled : End::NotStarted);
    report_.value = report_.end == End::Signalled ? SIGKILL : 128 + SIGKILL;
    if (report_.end != End::NotStarted) return;
    report_.step = "capsule-init";
    report_.error = ECHILD;
    report_.value = 0;
}

// Waits for the cgroup to be empty and removed; normally it is both at once.
void Run::settle() {
    faultPoint("supervisor", "settle");
    if (report_.finished == 0) report_.finished = monotonicUsec();
    if (settleUntil_ == 0) settleUntil_ = monotonicUsec() + kSettleUsec;
    if (cgroup_.populated()) cgroup_.kill();
    const CgroupUsage usage = cgroup_.usage();
    if (host_.cgroups.remove(cgroup_)) {
        report_.cpuUsec = usage.cpuUsec;
        report_.cpuSystemUsec = usage.cpuSystemUsec;
        report_.memoryPeak = usage.memoryPeak;
        report_.pidsPeak = usage.pidsPeak;
        report_.outOfMemory = usage.outOfMemory;
        return finish();
    }
    if (monotonicUsec() >= settleUntil_) return finish();
    setTimer(monotonicUsec() + kSettleRetryUsec, [this] { settle(); });
}

void Run::setTimer(std::uint64_t at, std::function<void()> then) {
    if (deadline_) host_.loop.cancel(*deadline_);
    deadline_ = host_.loop.at(at, [this, then = std::move(then)] {
        deadline_.reset();
        then();
    });
}

void Run::finish() {
    faultPoint("supervisor", "finish");
    recordLoss();
    if (report_.finished == 0) report_.finished = monotonicUsec();
    streams_.finish();
    const bool thawed = host_.freezer.thaw(plan_.runId);
    report_.left = whatIsLeft();
    if (!thawed) report_.left.emplace_back("frozen target");
    report_.escaped = monotonicUsec();
    report_.hasArtifacts = static_cast<bool>(artifacts_);
    report_.logTruncated = streams_.logTruncated();
    report_.logBytes = streams_.logBytes();
    if (upper_) report_.written = whatIsWritten(upper_.get(), plan_);
    upper_.reset();
    unwatch();
    target_.reset();
    payload_.reset();
    news_.reset();
    cgroup_ = Cgroup{};
    for (auto* list : {&plan_.argv, &plan_.env, &plan_.layers, &plan_.writes}) *list = {};  // of no more use to anybody
    finished_ = true;
    faultPoint("supervisor", "publish");
    publish(RunPhase::Finished);
    host_.ended(plan_.runId);
}

// The escape list: what of the capsule is still here, in words. The upper layer and all mounts are the mount namespace's, which
// dies with the last process: an empty, removed cgroup and a reaped init are its end.
std::vector<std::string> Run::whatIsLeft() {
    std::vector<std::string> left;
    if (host_.cgroups.exists(plan_.runId)) left.push_back((cgroup_.populated() ? "process in cgroup " : "cgroup ") + plan_.runId);
    if (init_) left.emplace_back("capsule-init");
    if (joins() && !reaped_) addZombies(left);
    if (host_.ownMounts.grew(host_.procfs)) left.emplace_back("mount in the launcher's namespace");
    if (!alive(target_.get())) return left;
    auto pid = host_.procfs.pidOf(target_.get());
    auto stat = pid ? host_.procfs.stat(*pid) : Result<ProcessStat>(fail(Errc::TargetGone, {}));
    if (stat && stat->startTime != plan_.startTime) left.emplace_back("target's start time changed");
    return left;
}

// Whose init was killed before it reaped them: they are the children of the target's first process now, which may wait for nobody.
void Run::addZombies(std::vector<std::string>& left) const {
    for (const pid_t pid : host_.procfs.processes()) {
        const auto stat = host_.procfs.stat(pid);
        if (!stat || stat->state != 'Z') continue;
        const auto cgroups = host_.procfs.read(pid, "cgroup");
        if (!cgroups || cgroups->find("/" + plan_.runId) == std::string::npos) continue;
        left.push_back("zombie " + std::to_string(pid));
    }
}

void Run::unwatch() {
    if (deadline_) host_.loop.cancel(*deadline_);
    deadline_.reset();
    for (const UniqueFd* fd : {&target_, &init_, &news_})
        if (*fd) host_.loop.remove(fd->get());
}

}  // namespace recap::launcher
