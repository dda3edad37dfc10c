// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/run_queue.hpp"

#include <algorithm>

namespace recap {
namespace {

bool asked(Trigger trigger) { return trigger == Trigger::OnDemand; }

// What nobody asked for has no more than this of a limit: a storm of events leaves room for people.
std::size_t shared(std::size_t limit) { return limit - limit / 4; }
// And one user who is not root no more than this of what goes on.
std::size_t share(std::size_t limit) { return std::max<std::size_t>(limit / 4, 1); }

std::string text(std::size_t number) { return std::to_string(number); }

}  // namespace

Result<void> RunQueue::admit(Trigger trigger) const {
    const std::string limit = "limits.queue = " + text(limits_.queue) + " of recapd.toml";
    if (pending_.all >= limits_.queue)
        return fail(Errc::LimitExceeded, text(pending_.all) + " runs wait, and " + limit + " lets no more; try again when some have begun");
    if (!asked(trigger) && pending_.unasked >= shared(limits_.queue))
        return fail(Errc::LimitExceeded, text(pending_.unasked) + " runs that events and timers start wait, and of " + limit +
                                             " a quarter is kept for those that somebody asks for");
    return {};
}

void RunQueue::arrive(const RunRecord& run) {
    Entry entry{run.request.capsule, {}, run.request.trigger, run.request.caller.uid, State::Arrived, 0};
    if (!runs_.emplace(run.id, std::move(entry)).second) return;
    ++pending_.all;
    pending_.unasked += !asked(run.request.trigger);
}

void RunQueue::adopt(const RunRecord& run) {
    arrive(run);
    Entry& entry = runs_.at(run.id);
    if (entry.state != State::Arrived) return;
    entry.target = run.target;
    go(entry);
}

bool RunQueue::enter(const RunId& id, const std::string& target) {
    const auto found = runs_.find(id);
    if (found == runs_.end()) return true;  // has ended
    Entry& entry = found->second;
    if (entry.state == State::Going && entry.target == target) return true;
    forget(entry);
    entry.target = target;
    // Where somebody else may have got room, next() says whose turn it is.
    if (!due_ && lacks(entry) == Lack::Nothing)
        go(entry);
    else
        wait(id, entry);
    return entry.state == State::Going;
}

void RunQueue::leave(const RunId& id) {
    const auto found = runs_.find(id);
    if (found == runs_.end()) return;
    forget(found->second);
    --pending_.all;
    pending_.unasked -= !asked(found->second.trigger);
    runs_.erase(found);
}

// Beside those that wait, nobody has room: so the one that waited longest for its turn and has room now is asked for only here.
std::optional<RunId> RunQueue::next() {
    if (!due_) return {};
    for (auto& lanes : lanes_) {
        for (auto& [capsule, lane] : lanes.order) {
            const RunId* first = firstWithRoom(lane);
            if (first == nullptr) continue;
            RunId id = *first;
            Entry& entry = runs_.at(id);
            lane.hadTurn({entry.target, entry.uid});
            lanes.hadTurn(entry.capsule);
            forget(entry);
            go(entry);
            return id;
        }
    }
    due_ = false;
    return {};
}

// Runs of one line lack the same.
const RunId* RunQueue::firstWithRoom(const Lane& lane) const {
    for (const auto& [place, line] : lane.order) {
        const RunId& first = line.begin()->second;
        const Lack lack = lacks(runs_.at(first));
        if (lack == Lack::Nothing) return &first;
        if (lack == Lack::Runs || lack == Lack::SharedRuns) return nullptr;
    }
    return nullptr;
}

RunQueue::Lack RunQueue::lacks(const Entry& entry) const {
    const auto onTarget = goingOn_.find(entry.target);
    const Count there = onTarget == goingOn_.end() ? Count() : onTarget->second;
    if (going_.all >= limits_.runs) return Lack::Runs;
    if (there.all >= limits_.runsPerTarget) return Lack::RunsOfTarget;
    if (!asked(entry.trigger)) {
        if (going_.unasked >= shared(limits_.runs)) return Lack::SharedRuns;
        return there.unasked >= shared(limits_.runsPerTarget) ? Lack::SharedRunsOfTarget : Lack::Nothing;
    }
    const auto theirs = goingOf_.find(entry.uid);
    return entry.uid != 0 && theirs != goingOf_.end() && theirs->second >= share(limits_.runs) ? Lack::RunsOfUser : Lack::Nothing;
}

void RunQueue::go(Entry& entry) {
    entry.state = State::Going;
    --pending_.all;
    pending_.unasked -= !asked(entry.trigger);
    Count& there = goingOn_[entry.target];
    for (Count* count : {&going_, &there}) {
        ++count->all;
        count->unasked += !asked(entry.trigger);
    }
    if (asked(entry.trigger)) ++goingOf_[entry.uid];
}

void RunQueue::wait(const RunId& id, Entry& entry) {
    entry.state = State::Waiting;
    entry.place = ++lastPlace_;
    ++waiting_;
    lanes_[static_cast<std::size_t>(entry.trigger)].at(entry.capsule).at({entry.target, entry.uid}).emplace(entry.place, id);
}

// As when it had arrived.
void RunQueue::forget(Entry& entry) {
    const State before = std::exchange(entry.state, State::Arrived);
    if (before == State::Waiting) unline(entry);
    if (before != State::Going) return;
    due_ = waiting_ > 0;
    ++pending_.all;
    pending_.unasked += !asked(entry.trigger);
    const auto there = goingOn_.find(entry.target);
    for (Count* count : {&going_, &there->second}) {
        --count->all;
        count->unasked -= !asked(entry.trigger);
    }
    if (there->second.all == 0) goingOn_.erase(there);
    if (!asked(entry.trigger)) return;
    const auto theirs = goingOf_.find(entry.uid);
    if (--theirs->second == 0) goingOf_.erase(theirs);
}

void RunQueue::unline(const Entry& entry) {
    due_ = --waiting_ > 0 && due_;
    auto& lanes = lanes_[static_cast<std::size_t>(entry.trigger)];
    Lane& lane = lanes.at(entry.capsule);
    Line& line = lane.at({entry.target, entry.uid});
    line.erase(entry.place);
    if (line.empty()) lane.erase({entry.target, entry.uid});
    if (lane.order.empty()) lanes.erase(entry.capsule);
}

std::string RunQueue::waitsFor(const RunId& id) const {
    const auto found = runs_.find(id);
    if (found == runs_.end() || found->second.state != State::Waiting) return {};
    const Entry& entry = found->second;
    const std::string runs = "limits.runs = " + text(limits_.runs) + " of recapd.toml";
    const std::string perTarget = "limits.runs-per-target = " + text(limits_.runsPerTarget) + " of recapd.toml";
    switch (lacks(entry)) {
        case Lack::Nothing: return "its turn";
        case Lack::Runs: return "room: " + text(going_.all) + " runs are under way, as many as " + runs + " lets";
        case Lack::RunsOfTarget:
            return "room on " + entry.target + ": " + text(goingOn_.at(entry.target).all) + " runs are under way there, as many as " +
                   perTarget + " lets";
        case Lack::SharedRuns:
            return "room: " + text(going_.unasked) + " runs that events and timers started are under way; they have three quarters of " +
                   runs;
        case Lack::SharedRunsOfTarget:
            return "room on " + entry.target + ": " + text(goingOn_.at(entry.target).unasked) +
                   " runs that events and timers started are under way there; they have three quarters of " + perTarget;
        case Lack::RunsOfUser:
            return "room: " + text(goingOf_.at(entry.uid)) + " runs of uid " + text(entry.uid) +
                   " are under way; one user has a quarter of " + runs;
    }
    return {};
}

}  // namespace recap
