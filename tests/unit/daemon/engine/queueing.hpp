// SPDX-License-Identifier: Apache-2.0
// Runs that come to a queue, go on and end when a test says so.
#pragma once

#include <string>
#include <vector>

#include "daemon/engine/run_queue.hpp"

namespace recap::test {

struct Given {
    std::string id;
    std::string capsule = "a";
    std::string target = "docker:1";
    Trigger trigger = Trigger::OnDemand;
    std::uint32_t uid = 0;
};

inline RunRecord recordOf(const Given& given) {
    RunRecord run;
    run.id = given.id;
    run.target = given.target;
    run.request.capsule = given.capsule;
    run.request.trigger = given.trigger;
    run.request.caller.uid = given.uid;
    return run;
}

struct Bench {
    RunQueue queue;
    explicit Bench(const RunLimits& limits) : queue(limits) {}

    bool come(const Given& given) {  // whether it goes on
        queue.arrive(recordOf(given));
        return queue.enter(given.id, given.target);
    }
    std::vector<RunId> letOn() {
        std::vector<RunId> let;
        while (const auto id = queue.next()) let.push_back(*id);
        return let;
    }
    std::vector<RunId> end(const RunId& id) {  // who goes on then
        queue.leave(id);
        return letOn();
    }
};

}  // namespace recap::test
