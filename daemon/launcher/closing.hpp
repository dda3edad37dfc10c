// SPDX-License-Identifier: Apache-2.0
// Closing a regular file may wait for a server (FUSE's flush, which no signal ends): of a stranger's file, the supervisor lets a
// child do it that shares its table of descriptors. The number is free at once; who waits, and for how long, is the child.
#pragma once

#include <vector>

#include "daemon/launcher/loop.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

class Closing {
public:
    explicit Closing(Loop& loop) : loop_(loop) {}
    ~Closing();
    Closing(const Closing&) = delete;
    Closing& operator=(const Closing&) = delete;

    // Takes those of `fds` that are regular files out of it, and has them closed. How many there were.
    std::size_t takeFiles(std::vector<UniqueFd>& fds);

private:
    void closeWaiting();

    Loop& loop_;
    std::vector<int> waiting_;        // for a child
    std::vector<UniqueFd> children_;  // pidfds
};

}  // namespace recap::launcher
