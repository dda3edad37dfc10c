// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/throttle.hpp"

#include <algorithm>
#include <utility>

namespace recap {
namespace {

constexpr std::uint64_t kTellUsec = 1'000'000;

}  // namespace

void Throttle::refill(std::uint64_t now) {
    if (filled_ == 0) filled_ = now;
    const std::uint64_t refilled = (now - filled_) / limits_.refillUsec;
    filled_ += refilled * limits_.refillUsec;
    tokens_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(limits_.burst, tokens_ + refilled));
}

bool Throttle::hasRoom(std::uint64_t now) {
    refill(now);
    return tokens_ > limits_.burst / 2;
}

bool Throttle::take(std::uint64_t now) {
    refill(now);
    if (tokens_ == 0) return false;
    --tokens_;
    return true;
}

// None where there are too many to tell apart: then it has no cooldown either, and the rate alone bounds it.
Throttle::State* Throttle::ownState(const Key& key, std::uint64_t now) {
    const auto found = states_.find(key);
    if (found != states_.end()) return &found->second;
    if (states_.size() >= limits_.keys)
        std::erase_if(states_, [&](const auto& one) { return one.second.until <= now && !one.second.counted(); });
    return states_.size() < limits_.keys ? &states_[key] : nullptr;
}

// What has no state of its own is counted with all others of its capsule's event.
Throttle::State& Throttle::countedIn(State* own, const Key& key) { return own != nullptr ? *own : states_[{key.capsule, key.event, {}}]; }

void Throttle::count(State& state, std::uint64_t& counter, std::uint64_t now, std::uint64_t times) {
    if (!state.counted()) {
        state.tellAt = std::max(state.until, now + kTellUsec);
        next_ = std::min(next_.value_or(state.tellAt), state.tellAt);
    }
    counter += times;
}

bool Throttle::pass(const Key& key, std::uint64_t cooldown, std::uint64_t now, const std::string& cause) {
    State* own = ownState(key, now);
    const bool cools = own != nullptr && now < own->until;
    if (cools || !take(now)) {
        State& state = countedIn(own, key);
        count(state, cools ? state.inCooldown : state.overRate, now);
        state.cause = cause;
        return false;
    }
    if (own == nullptr) return true;
    own->until = now + cooldown;
    if (cooldown == 0 && !own->counted()) states_.erase(key);
    return true;
}

void Throttle::came(const Key& key, std::uint64_t inCooldown, std::uint64_t now, const std::string& cause) {
    if (inCooldown == 0) return;
    State& state = countedIn(ownState(key, now), key);
    count(state, state.inCooldown, now, inCooldown);
    state.cause = cause;
}

void Throttle::undo(const Key& key) {
    const auto found = states_.find(key);
    if (found == states_.end()) return;
    found->second.until = 0;
    if (!found->second.counted()) states_.erase(found);
}

std::uint64_t Throttle::until(const Key& key) const {
    const auto found = states_.find(key);
    return found == states_.end() ? 0 : found->second.until;
}

std::vector<Throttle::Missed> Throttle::missed(std::uint64_t now) {
    std::vector<Missed> all;
    next_.reset();
    for (auto it = states_.begin(); it != states_.end();) {
        State& state = it->second;
        if (state.counted() && now >= state.tellAt) all.push_back(takeOut(it->first, state));
        if (state.counted()) next_ = std::min(next_.value_or(state.tellAt), state.tellAt);
        it = !state.counted() && now >= state.until ? states_.erase(it) : std::next(it);
    }
    return all;
}

Throttle::Missed Throttle::takeOut(const Key& key, State& state) {
    Missed missed{key, std::exchange(state.inCooldown, 0), std::exchange(state.overRate, 0), std::exchange(state.cause, {})};
    return missed;
}

std::vector<Throttle::Missed> Throttle::forgetCapsule(const std::string& capsule) {
    std::vector<Missed> all;
    for (auto& [key, state] : states_)
        if (key.capsule == capsule && state.counted()) all.push_back(takeOut(key, state));
    std::erase_if(states_, [&](const auto& one) { return one.first.capsule == capsule; });
    return all;
}

std::vector<Throttle::Missed> Throttle::forgetTarget(const std::string& target) {
    std::vector<Missed> all;
    for (auto& [key, state] : states_)
        if (key.target == target && state.counted()) all.push_back(takeOut(key, state));
    return all;
}

}  // namespace recap
