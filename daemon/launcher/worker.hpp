// SPDX-License-Identifier: Apache-2.0
// Spawn workers: small processes that make the clones, so that the supervisor never enters a namespace nor waits in a vfork. One
// request at a time; a worker's children are the supervisor's (CLONE_PARENT), so that a worker's death harms no capsule.
#pragma once

#include <string>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/store.hpp"

namespace recap::launcher {

// Descriptors of a request, in this order; then v1's cgroup.procs; then a terminal's devpts, if there is one.
enum WorkerFd : std::size_t { kTargetFd, kCgroupFd, kReportFd, kStdinFd, kStdoutFd, kStderrFd, kV1Fds };

struct WorkerReply {
    std::int32_t error = 0;  // errno of the step that failed; its name is the text behind this record
    std::int32_t pid = 0;    // capsule-init, in the host's pid namespace; its pidfd beside it
    char runId[kRunIdLength] = {};
};

// In a new worker: closes every descriptor but its socket and what a spawn needs.
void keepOnly(int socket, const Prepared& prepared, const Store& store);

// Serves `socket` until it closes; never returns.
[[noreturn]] void runWorker(int socket, const Prepared& prepared, const Store& store);

}  // namespace recap::launcher
