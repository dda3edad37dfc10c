// SPDX-License-Identifier: Apache-2.0
// May a run that nobody asked for begin on a target, where an earlier one of the same capsule may still be under way there? Knows
// every run that is, and one that waits for it. No clock, no loop.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/core/run.hpp"
#include "daemon/core/schedule.hpp"

namespace recap {

class Gate {
public:
    enum class Go {
        Now,
        Skip,  // an earlier one is under way
        Wait,  // until all that are under way have ended
    };
    struct Verdict {
        Go go = Go::Now;
        RunId earlier;              // that is under way
        bool another = false;       // of Skip: one waits already
        std::vector<RunId> stop{};  // of Wait: those that make room; never one that somebody asked for, its end is waited for
    };

    void entered(const RunId& id, const std::string& capsule, const std::string& target, Trigger trigger);
    // The place where nothing is under way any more and somebody waits; that one waits no longer.
    struct Place {
        std::string capsule;
        std::string target;
        auto operator<=>(const Place&) const = default;
    };
    std::optional<Place> left(const RunId& id);

    // Wait takes the one place to wait in.
    Verdict ask(const Place& place, Overlap overlap);
    void withdraw(const Place& place);  // who waits there does not any more

private:
    struct Running {
        RunId id;
        Trigger trigger;
    };
    struct Busy {
        std::vector<Running> runs;
        bool waited = false;
    };
    std::map<Place, Busy> busy_;
    std::unordered_map<RunId, Place> places_;
};

}  // namespace recap
