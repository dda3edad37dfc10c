// SPDX-License-Identifier: Apache-2.0
// Which run goes on: so many at once on this host and so many on a target, the others wait for their turn. What somebody asks for goes
// before what an event starts, and that before what is due by the clock; within each the capsules take turns, and a capsule's targets.
// No clock, no loop. Owned by the engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "daemon/core/runs.hpp"
#include "daemon/core/settings.hpp"
#include "sdk/base/result.hpp"

namespace recap {

class RunQueue {
public:
    explicit RunQueue(const RunLimits& limits) : limits_(limits) {}

    void limit(const RunLimits& limits) {
        limits_ = limits;
        due_ = waiting_ > 0;
    }

    // LimitExceeded where one more would be too many that do not go on yet.
    Result<void> admit(Trigger trigger) const;
    void arrive(const RunRecord& run);  // accepted; nothing is known of its target
    void adopt(const RunRecord& run);   // goes on already, whatever the limits say
    // Its target is known, or is another than before. True: it goes on, now or already. False: it waits until next() names it.
    bool enter(const RunId& id, const std::string& target);
    void leave(const RunId& id);

    // Some run may have got room: ask next() until it names none.
    bool due() const { return due_; }
    std::optional<RunId> next();  // goes on from now on
    // What a run waits for, as a sentence's part; empty: it does not wait.
    std::string waitsFor(const RunId& id) const;

private:
    enum class State { Arrived, Waiting, Going };
    struct Entry {
        std::string capsule;
        std::string target;
        Trigger trigger = Trigger::OnDemand;
        std::uint32_t uid = 0;
        State state = State::Arrived;
        std::uint64_t place = 0;  // while it waits
    };
    struct Count {
        std::size_t all = 0;
        std::size_t unasked = 0;  // of these, what nobody asked for
    };
    // Things by name, and whose turn it is.
    template <class Name, class Thing>
    struct Turns {
        std::list<std::pair<Name, Thing>> order;
        std::map<Name, typename std::list<std::pair<Name, Thing>>::iterator> places;

        Thing& at(const Name& name) {
            const auto found = places.find(name);
            if (found != places.end()) return found->second->second;
            order.emplace_back(name, Thing());
            places[name] = std::prev(order.end());
            return order.back().second;
        }
        void erase(const Name& name) {
            const auto found = places.find(name);
            order.erase(found->second);
            places.erase(found);
        }
        void hadTurn(const Name& name) { order.splice(order.end(), order, places.at(name)); }
    };
    using Line = std::map<std::uint64_t, RunId>;                      // in the order in which they came
    using Lane = Turns<std::pair<std::string, std::uint32_t>, Line>;  // a capsule's, by target and user
    using Lanes = std::array<Turns<std::string, Lane>, 3>;            // by trigger, and capsule

    enum class Lack { Nothing, Runs, RunsOfTarget, SharedRuns, SharedRunsOfTarget, RunsOfUser };
    Lack lacks(const Entry& entry) const;
    const RunId* firstWithRoom(const Lane& lane) const;
    void go(Entry& entry);
    void wait(const RunId& id, Entry& entry);
    void forget(Entry& entry);
    void unline(const Entry& entry);

    RunLimits limits_;
    std::unordered_map<RunId, Entry> runs_;
    Lanes lanes_;
    Count pending_;  // do not go on yet
    std::size_t waiting_ = 0;
    Count going_;
    std::unordered_map<std::string, Count> goingOn_;          // by target
    std::unordered_map<std::uint32_t, std::size_t> goingOf_;  // by user, of what users ask for
    std::uint64_t lastPlace_ = 0;
    bool due_ = false;
};

}  // namespace recap
