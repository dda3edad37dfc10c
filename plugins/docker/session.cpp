// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/session.hpp"

#include <algorithm>

namespace recap::docker {
namespace {

constexpr std::size_t kParallel = 8;
// A container that is stuck does not answer, and the others are told all the same; when so many are, it is the engine.
constexpr std::size_t kMaxSilent = 16;
constexpr std::size_t kMaxMarked = kMaxContainers;

std::uint64_t nowByTheClock() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace

Session::Session(const std::string& socket, Memory& memory, plugin::Sink& sink, const SessionTimes& times, Pin pin)
    : memory_(memory),
      sink_(sink),
      times_(times),
      pin_(pin),
      engine_(socket, {sink.stopFd(), [&sink] { return sink.wait({}); }}, times.engine) {
    memory_.events.restart();
    memory_.wasReady = false;
}

Error Session::run() {
    auto going = begin();
    while (going && !sink_.stopping()) going = turn();
    if (streamEnded_) return std::move(*streamEnded_);
    return going ? Error{Errc::Unavailable, "asked to end"} : std::move(going).error();
}

// The subscription first: what happens while the list is read is then an event.
Result<void> Session::begin() {
    const std::uint64_t started = nowByTheClock();
    if (auto connected = engine_.connect(); !connected) return connected;
    const auto since = memory_.events.lastTime() != 0 ? memory_.events.lastTime() : started;
    const auto stream = engine_.events(
        since,
        [this](std::string_view bytes) {
            memory_.events.feed(bytes, [this](const Event& event) { mark(event.id); });
            return Result<void>();
        },
        [this](Error error) { streamEnded_ = std::move(error); });
    if (auto head = engine_.awaitHead(stream); !head) return head;
    return startRound();
}

Result<void> Session::turn() {
    if (streamEnded_) return tl::unexpected(*streamEnded_);
    if (round_ && round_->silent > kMaxSilent)
        return fail(Errc::Unavailable, "the engine says nothing of " + std::to_string(round_->silent) + " of its " +
                                           std::to_string(round_->listed) + " containers; the last: " + round_->lastSilence);
    if (memory_.events.hasMissed()) resyncWanted_ = true;
    if (round_ && round_->awaited.empty()) endRound();
    if (!round_ && (resyncWanted_ || Clock::now() >= nextResync_)) return startRound();
    if (Clock::now() >= nextPing_) {
        nextPing_ = Clock::now() + times_.ping;
        if (auto answered = engine_.ping(); !answered) return answered;
    }
    retryUnheard();
    askMarked();
    engine_.step(untilNext());
    return {};
}

std::chrono::milliseconds Session::untilNext() const {
    if (round_ && round_->awaited.empty()) return std::chrono::milliseconds(0);
    auto next = round_ ? nextPing_ : std::min(nextPing_, nextResync_);
    if (!unheard_.empty()) next = std::min(next, nextRetry_);
    return std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
}

Result<void> Session::startRound() {
    resyncWanted_ = false;
    retryDelay_ = times_.retry;
    auto ids = engine_.list();
    if (!ids) return forward(std::move(ids));
    nextPing_ = Clock::now() + times_.ping;
    round_.emplace();
    round_->listed = ids->size();
    round_->awaited.insert(ids->begin(), ids->end());
    marked_.insert(ids->begin(), ids->end());
    return {};
}

void Session::endRound() {
    std::erase_if(memory_.known, [&](const auto& known) { return !round_->heard.contains(known.first); });
    std::vector<plugin::Target> targets;
    targets.reserve(memory_.known.size());
    for (const auto& [id, target] : memory_.known) targets.push_back(target);
    sink_.snapshot(targets);
    memory_.wasReady = true;
    nextResync_ = Clock::now() + times_.resync;
    round_.reset();
}

void Session::mark(const std::string& id) {
    if (marked_.size() < kMaxMarked) {
        marked_.insert(id);
    } else {
        resyncWanted_ = true;
    }
}

// One that is being asked for already is asked for again after that: what changed may have come too late for the answer.
void Session::askMarked() {
    for (auto next = marked_.begin(); next != marked_.end() && asked_.size() < kParallel;) {
        if (asked_.contains(*next)) {
            ++next;
            continue;
        }
        const std::string id = *next;
        next = marked_.erase(next);
        asked_.insert(id);
        engine_.inspect(id, [this, id](Result<Container> answer) {
            asked_.erase(id);
            inspected(id, std::move(answer));
        });
    }
}

void Session::retryUnheard() {
    if (unheard_.empty() || Clock::now() < nextRetry_) return;
    retryDelay_ = std::min(retryDelay_ * 2, times_.resync);
    marked_.merge(unheard_);
    unheard_.clear();
}

void Session::inspected(const std::string& id, Result<Container> answer) {
    if (round_) round_->heard.insert(id);
    if (!answer && answer.error().code != Errc::NotFound) {
        if (unheard_.empty()) nextRetry_ = Clock::now() + retryDelay_;
        if (unheard_.size() < kMaxSilent) unheard_.insert(id);
        // An answer that is too long is its container's fault: an image's author can make it so.
        if (round_ && answer.error().code != Errc::LimitExceeded) {
            ++round_->silent;
            round_->lastSilence = answer.error().message;
        }
    }
    auto target = targetOf(id, answer);
    if (round_ && round_->awaited.erase(id) > 0) {
        // The snapshot that ends the round tells it.
        if (target) {
            memory_.known.insert_or_assign(id, std::move(*target));
        } else {
            memory_.known.erase(id);
        }
        return;
    }
    apply(id, std::move(target));
}

// Of one of which nothing is heard, what was known stays as long as its process does.
std::optional<plugin::Target> Session::targetOf(const std::string& id, const Result<Container>& answer) const {
    if (!answer && answer.error().code != Errc::NotFound) {
        const auto known = memory_.known.find(id);
        return known != memory_.known.end() && isAlive(known->second) ? std::optional(known->second) : std::nullopt;
    }
    if (!answer || !answer->running || answer->id != id) return std::nullopt;
    auto target = describe(*answer, engine_.hasUserNamespaces());
    return pin_(target) ? std::optional(std::move(target)) : std::nullopt;
}

void Session::apply(const std::string& id, std::optional<plugin::Target> target) {
    const auto known = memory_.known.find(id);
    if (!target) {
        if (known != memory_.known.end()) memory_.known.erase(known);
        sink_.removed(id);  // also where find() alone told it
        return;
    }
    if (known == memory_.known.end() && memory_.known.size() >= kMaxContainers) return;
    if (known == memory_.known.end() || known->second.pid != target->pid || known->second.startTime != target->startTime) {
        sink_.added(*target);
    } else if (known->second != *target) {
        sink_.changed(*target);
    }
    memory_.known.insert_or_assign(id, std::move(*target));
}

}  // namespace recap::docker
