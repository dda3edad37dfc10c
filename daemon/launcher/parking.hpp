// SPDX-License-Identifier: Apache-2.0
// Parked workers. Moving a process into a cgroup of version 1 costs 5 to 11 ms where nobody has done so for a while (the kernel
// waits for a grace period), and an attach would pay that; a process that is born in one pays nothing. So a few workers move into
// cgroups of their own while nothing else happens, and wait there. One that is given a run lets its capsule be born where it is,
// and ends; its cgroups are the run's from then on, and go with it. With cgroup v2 alone nobody parks: clone3(2) places for free.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>

#include "daemon/launcher/cgroup.hpp"
#include "daemon/launcher/loop.hpp"
#include "daemon/launcher/worker_process.hpp"

namespace recap::launcher {

class Parking {
public:
    Parking(Loop& loop, const CgroupTree& cgroups, const Prepared& prepared, const Store& store, std::function<void(SpawnResult)> done)
        : loop_(loop), cgroups_(cgroups), prepared_(prepared), store_(store), done_(std::move(done)) {}
    ~Parking();
    Parking(const Parking&) = delete;
    Parking& operator=(const Parking&) = delete;

    void start() { fillLater(); }
    void stop() { stopped_ = true; }  // no new ones
    void busy();                      // a run begins or ends: this is no time for moving anybody
    // The cgroups of one that waits, for CgroupTree::create(); then spawn() or leave() with that name.
    std::optional<std::string> take();
    // What the next one is likely to be like: of a plan, what its root is made of.
    void expect(const Plan& plan);
    void spawn(const std::string& name, SpawnRequest request);  // `done` comes on a later turn, whatever happens
    void leave(const std::string& name);                        // the run was not to be: the worker is ended, and its cgroups are empty

private:
    struct Parked {
        std::string name;
        WorkerProcess worker;
        UniqueFd alone = {};   // closed when the worker has ended and is counted no more
        UniqueFd ending = {};  // pidfd of one that has answered
        bool ready = false;
    };
    using Where = std::list<Parked>::iterator;

    void fillLater();
    void fill();
    Result<void> park();
    void onReady(Where parked);
    void onDeath(Where parked, int error);
    SpawnResult end(Where parked, int error = ECHILD);
    void endLater(Where parked);
    Where find(const std::string& name);

    Loop& loop_;
    const CgroupTree& cgroups_;
    const Prepared& prepared_;
    const Store& store_;
    std::function<void(SpawnResult)> done_;
    std::list<Parked> parked_;
    std::string expected_;  // encoded
    std::uint64_t notBefore_ = 0;
    std::uint64_t number_ = 0;
    bool filling_ = false;
    bool stopped_ = false;
};

}  // namespace recap::launcher
