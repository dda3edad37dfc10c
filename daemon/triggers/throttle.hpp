// SPDX-License-Identifier: Apache-2.0
// Which of the events that come start a run: one in a cooldown for each capsule's event on each target, and in all no more than recapd
// can take beside what people ask for. Those that start none are counted, so that they can be told of. No clock of its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace recap {

struct ThrottleLimits {
    std::uint64_t refillUsec = 50'000;  // until one more may pass: 20 a second
    std::uint32_t burst = 200;          // that may pass at once after a quiet time
    std::size_t keys = 20'000;          // that are told apart; beyond, an event has no cooldown, and is counted as its capsule's
};

class Throttle {
public:
    struct Key {
        std::string capsule;
        std::size_t event = 0;  // index in the capsule's schedule
        std::string target;     // BACKEND:ID; empty: of no one target
        auto operator<=>(const Key&) const = default;
    };
    // Events that started nothing, since the last one of theirs that did.
    struct Missed {
        Key key;
        std::uint64_t inCooldown = 0;
        std::uint64_t overRate = 0;
        std::string cause;  // of the last of them; empty: it has none
    };

    explicit Throttle(const ThrottleLimits& limits = {}) : limits_(limits), tokens_(limits.burst) {}

    // May it start a run? `now` and `cooldown`: µs of one monotonic clock. `cause`: which one of its kind it is.
    bool pass(const Key& key, std::uint64_t cooldown, std::uint64_t now, const std::string& cause = {});
    // So many more, which came within a cooldown that is over by now perhaps: nobody looked at them before.
    void came(const Key& key, std::uint64_t inCooldown, std::uint64_t now, const std::string& cause = {});
    void undo(const Key& key);                  // what pass() let pass has started nothing: no cooldown has begun
    std::uint64_t until(const Key& key) const;  // of the cooldown that pass() began; 0: none is known of
    // Would one pass that can wait: is there more than half of what may pass at once?
    bool hasRoom(std::uint64_t now);
    // What has been counted of those that are to be told of by now: at the end of their cooldown, and at most once a second.
    std::vector<Missed> missed(std::uint64_t now);
    // When missed() has something to tell next; none: nothing is counted.
    std::optional<std::uint64_t> next() const { return next_; }
    // Of a capsule that is disabled, or a target that is gone: told at once. A target may be back soon: its cooldowns go on.
    std::vector<Missed> forgetCapsule(const std::string& capsule);
    std::vector<Missed> forgetTarget(const std::string& target);
    std::size_t size() const { return states_.size(); }

private:
    struct State {
        std::uint64_t until = 0;   // of its cooldown
        std::uint64_t tellAt = 0;  // where something is counted
        std::uint64_t inCooldown = 0;
        std::uint64_t overRate = 0;
        std::string cause;  // of the last that was counted
        bool counted() const { return inCooldown != 0 || overRate != 0; }
    };

    void refill(std::uint64_t now);
    bool take(std::uint64_t now);
    State* ownState(const Key& key, std::uint64_t now);
    State& countedIn(State* own, const Key& key);
    void count(State& state, std::uint64_t& counter, std::uint64_t now, std::uint64_t times = 1);
    static Missed takeOut(const Key& key, State& state);

    ThrottleLimits limits_;
    std::uint32_t tokens_;
    std::uint64_t filled_ = 0;
    std::map<Key, State> states_;
    std::optional<std::uint64_t> next_;
};

}  // namespace recap
