// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

#include "tests/hostile/arena.hpp"
#include "tests/support/command.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

// A file system in a target's /mnt whose server never answers, and is the target's.
class SilentMount {
public:
    explicit SilentMount(const MicroContainer& target)
        : mounts_("--mount=/proc/" + std::to_string(target.pid()) + "/ns/mnt"),
          server_(Command{.argv = {attacker().string(), "silent-fuse", std::to_string(target.pid()), "/mnt"}}) {
        if (!server_.waitForOutput("ready", Deadline{kPatience})) throw std::runtime_error("no FUSE server: " + server_.readOut());
    }
    ~SilentMount() {
        server_.signal(SIGKILL);  // its end lets go of who waits for it
        server_.wait(Deadline{kPatience});
        mustRun({"nsenter", mounts_, "umount", "-l", "/mnt"});
    }
    SilentMount(const SilentMount&) = delete;
    SilentMount& operator=(const SilentMount&) = delete;

private:
    const std::string mounts_;
    Child server_;
};

}  // namespace recap::test
