// SPDX-License-Identifier: Apache-2.0
// A spawn worker as the supervisor sees it: a child of its own, at the other end of a socket.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/store.hpp"

namespace recap::launcher {

struct SpawnRequest {
    std::string runId;
    std::string plan;           // encoded, verb Start
    std::vector<UniqueFd> fds;  // in the order of WorkerFd
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
};

// `procs`: cgroup.procs files of the cgroups that a parked worker lives in, which then serves one run only (parking.hpp).
Result<void> startWorker(WorkerProcess& worker, const Prepared& prepared, const Store& store, std::vector<UniqueFd> procs = {});

Result<void> give(WorkerProcess& worker, const SpawnRequest& request);

// Its answer, or nothing: it died, or talks nonsense. A parked worker's first answer names no run: it is in its cgroups.
std::optional<SpawnResult> answerOf(WorkerProcess& worker);

// After its death: a worker has reaped nobody, and nobody but its parent reaps it. What became of the run that it was at: its
// capsules are the supervisor's children and live on, the last one too, of which it had no time to tell.
SpawnResult bury(WorkerProcess& worker, const Prepared& prepared);

}  // namespace recap::launcher
