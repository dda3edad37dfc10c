// SPDX-License-Identifier: Apache-2.0
// A spawn worker as the supervisor sees it: a child of its own, at the other end of a socket.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <functional>
#include <optional>
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
    FolderId root = {};         // the target's, as it was when the plan was checked
};

struct SpawnResult {
    std::string runId;
    std::string step;  // empty: spawned
    int error = 0;
    UniqueFd pidfd;
};

struct WorkerProcess {
    UniqueFd socket;
    pid_t pid = 0;
    std::string runId;  // in flight
    std::optional<Loop::TimerId> deadline = {};
};

// What it is asked takes milliseconds. One that has not answered after so long waits for something that may never come: a target's
// filesystem whose server is dead.
#ifdef RECAP_TEST_FAULTS
inline constexpr std::uint64_t kAnswerUsec = 5000000;
#else
inline constexpr std::uint64_t kAnswerUsec = 30000000;
#endif

// `procs`: cgroup.procs files of the cgroups that a parked worker lives in, which then serves one run only (parking.hpp).
Result<void> startWorker(WorkerProcess& worker, const Prepared& prepared, const Store& store, std::vector<UniqueFd> procs = {});

// `late`: called where it is given a run and has not answered in time.
Result<void> give(Loop& loop, WorkerProcess& worker, const SpawnRequest& request, std::function<void()> late);

// Its answer, or nothing: it died, or talks nonsense. A parked worker's first answer names no run: it is in its cgroups.
std::optional<SpawnResult> answerOf(Loop& loop, WorkerProcess& worker);

// After its death, or to end it: a worker has reaped nobody, and nobody but its parent reaps it. What became of the run that it was
// at: its capsules are the supervisor's children and live on, the last one too, of which it had no time to tell. `error`: what a run
// fails with that no capsule was born for. `held` is closed once the worker is reaped.
SpawnResult bury(Loop& loop, WorkerProcess& worker, const Prepared& prepared, int error = ECHILD, UniqueFd held = {});

}  // namespace recap::launcher
