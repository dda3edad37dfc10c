// SPDX-License-Identifier: Apache-2.0
// Helper processes of the supervisor: programs started for one job (recap-unpack, recap-collect), and its own slow work (renames,
// syncs, removals) in a fork, so that the loop never waits.
#pragma once

#include <sched.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/launcher/loop.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

struct TaskResult {
    int status = 0;      // wait status
    std::string output;  // what the child wrote to its descriptor 2, at most 4 KiB
    bool ok() const { return status == 0; }
};

// Of a task's own: what a helper that a stranger's bytes have taken over could signal, or speak with.
inline constexpr std::uint64_t kTaskNamespaces = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

// Runs `inChild` in a fork, with these descriptors of ours and no others, and 2 as a pipe to us; its answer is the exit status. `done`
// comes once, on the loop. After `timeoutUsec` the child is killed.
Result<void> runTask(Loop& loop, std::uint64_t timeoutUsec, const std::vector<int>& descriptors, const std::function<int()>& inChild,
                     std::function<void(TaskResult)> done, std::uint64_t namespaces = kTaskNamespaces);

// For inChild: executes a program with exactly the descriptors given as 0, 1, 3 (-1: /dev/null) and 2. Returns only on failure.
int executeHelper(const std::string& program, const std::string& argument, int in, int out, int three);

}  // namespace recap::launcher
