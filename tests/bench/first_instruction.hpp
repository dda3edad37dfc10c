// SPDX-License-Identifier: Apache-2.0
// How long from a call over D-Bus to the first instruction of the no-op that is called for.
#pragma once

#include <map>
#include <string>

#include "sdk/client/recap/client.hpp"
#include "tests/bench/measure.hpp"

namespace recap::bench {

// Runs capsule noop on one target, and keeps the phases of each run too. Everything here throws std::runtime_error.
class FirstInstruction {
public:
    explicit FirstInstruction(std::string target);  // by DBUS_SYSTEM_BUS_ADDRESS, as it is now
    double once();                                  // in ms
    std::map<std::string, Times>& phases() { return phases_; }

private:
    void keep(const client::Dict& phases);

    std::string target_;
    client::Client client_;
    std::map<std::string, Times> phases_;  // each since the one before, and "whole"; in ms
};

}  // namespace recap::bench
