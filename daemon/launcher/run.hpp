// SPDX-License-Identifier: Apache-2.0
// One run's life in the supervisor: from the clone to the escape, then the estate until it is acknowledged.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/cgroup.hpp"
#include "daemon/launcher/freezer.hpp"
#include "daemon/launcher/loop.hpp"
#include "daemon/launcher/streams.hpp"
#include "daemon/launcher/transport.hpp"
#include "daemon/launcher/worker.hpp"

namespace recap::launcher {

// What a run needs of its house.
struct RunHost {
    Loop& loop;
    const Procfs& procfs;
    const CgroupTree& cgroups;
    Freezer& freezer;
    OwnMounts ownMounts;
    std::function<void(const RunEvent&)> publish;         // attached, executing, finished
    std::function<void(const std::string& runId)> ended;  // once, after the Finished event
    std::shared_ptr<StreamCounts> streams = std::make_shared<StreamCounts>();
};

class Run {
public:
    Run(RunHost& host, const Plan& plan, UniqueFd target, Cgroup cgroup, std::uint64_t received);
    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    // Before the worker is asked: the sockets and pipes. `given`: the caller's descriptors, in order of number.
    Result<void> prepare(std::vector<UniqueFd> given, std::array<UniqueFd, 3>& payloadStdio, UniqueFd& reportForInit);
    void spawned(UniqueFd initPidfd);  // the worker's answer
    void notSpawned(std::string step, int error);
    Result<void> signal(int number);
    Result<std::array<UniqueFd, 3>> attach(const AttachRequest& request);
    Result<void> resize(std::uint32_t rows, std::uint32_t columns);
    UniqueFd takeTerminalMount() { return streams_.takeTerminalMount(); }
    void stop(std::uint64_t graceUsec) { end(End::Stopped, graceUsec); }
    void kill(End why);  // at once

    bool finished() const { return finished_; }
    const Plan& plan() const { return plan_; }
    const Report& report() const { return report_; }
    RunPhase phase() const;
    int target() const { return target_.get(); }
    int logFd() const { return streams_.logFd(); }
    int artifactsFd() const { return artifacts_.get(); }
    std::uint64_t estateBytes() const;
    // A finished run's init that has not ended or could not be reaped; empty: there is none.
    UniqueFd takeInit() { return std::move(init_); }

private:
    void end(End why, std::uint64_t graceUsec);
    void onNews(std::uint32_t events);
    void take(Message message);
    void takeFds(int which, std::vector<UniqueFd> fds);
    void recordExit(int status);
    bool targetEnds() const;  // it has ended, or is about to
    void noticeTarget();
    void onInitGone();
    void recordLoss();
    void endJoined();
    bool joins() const { return plan_.processes == Processes::Join; }
    void settle();
    void setTimer(std::uint64_t at, std::function<void()> then);  // in place of the one that is set
    void finish();
    std::vector<std::string> whatIsLeft();
    void addZombies(std::vector<std::string>& left) const;
    void publish(RunPhase phase);
    void unwatch();

    RunHost& host_;
    Plan plan_;  // without the filter
    Report report_;
    Cgroup cgroup_;
    UniqueFd target_, init_, payload_, news_, artifacts_, upper_;
    Streams streams_;
    std::optional<End> why_;  // why it is being ended, where it did not end by itself
    std::optional<Loop::TimerId> deadline_;
    std::uint64_t lastEnd_ = 0;      // when it is killed at the latest
    std::uint64_t settleUntil_ = 0;  // from the kill, or the init's end, on
    bool killing_ = false;           // a grace is running
    bool exited_ = false;
    bool reaped_ = false;  // join: the init ended by itself, which it does when it has reaped all others
    bool finished_ = false;
};

}  // namespace recap::launcher
