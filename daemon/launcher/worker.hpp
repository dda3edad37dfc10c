// SPDX-License-Identifier: Apache-2.0
// Spawn workers: small processes that make the clones, so that the supervisor never enters a namespace nor waits in a vfork. One
// request at a time; a worker's children are the supervisor's (CLONE_PARENT), so that a worker's death harms no capsule.
#pragma once

#include <vector>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/store.hpp"

namespace recap::launcher {

// Descriptors of a request, in this order; then v1's cgroup.procs, or for a parked worker the pipe that ends when it is alone no
// more; then a terminal's devpts, if there is one; then where the target is frozen, if it is to be.
enum WorkerFd : std::size_t { kTargetFd, kCgroupFd, kReportFd, kStdinFd, kStdoutFd, kStderrFd, kV1Fds };

struct WorkerReply {
    std::int32_t error = 0;  // errno of the step that failed; its name is the text behind this record
    std::int32_t pid = 0;    // capsule-init, in the host's pid namespace; its pidfd beside it
    char runId[kRunIdLength] = {};
};

// In a new worker: closes every descriptor but its socket, `procs`, and what a spawn needs.
void keepOnly(int socket, const Prepared& prepared, const Store& store, const std::vector<UniqueFd>& procs);

// Serves `socket` until it closes; never returns.
[[noreturn]] void runWorker(int socket, const Prepared& prepared, const Store& store);

// The same for one run only, whose init is born in the cgroups that `procs` lead into: this enters them, says so, and ends with
// its answer. A request without descriptors asks for nothing but that a root for the like is made ahead.
[[noreturn]] void runParkedWorker(int socket, const Prepared& prepared, const Store& store, std::vector<UniqueFd> procs);

}  // namespace recap::launcher
