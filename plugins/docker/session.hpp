// SPDX-License-Identifier: Apache-2.0
// One connection's life with an engine: what runs is told as a snapshot, then what changes. Any event about a container makes it
// asked for anew, so that what is told is what the engine says now and no guess from a story.
#pragma once

#include <recap/plugin.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "plugins/docker/engine.hpp"
#include "plugins/docker/events.hpp"
#include "plugins/docker/target.hpp"

namespace recap::docker {

struct SessionTimes {
    std::chrono::milliseconds resync = std::chrono::minutes(5);  // events do get lost
    std::chrono::milliseconds ping = std::chrono::seconds(30);   // an engine that hangs says nothing, as one without events does
    std::chrono::milliseconds retry = std::chrono::seconds(5);   // of what was not answered; longer each time
    EngineTimes engine = {};
};

// What outlives a session.
struct Memory {
    std::map<std::string, plugin::Target> known;  // as told
    EventReader events;
    bool wasReady = false;  // the last session told a snapshot
};

class Session {
public:
    using Pin = bool (*)(plugin::Target&);  // what the kernel says; see target.hpp

    Session(const std::string& socket, Memory& memory, plugin::Sink& sink, const SessionTimes& times, Pin pin = docker::pin);

    // Until the engine fails, which is answered, or sink.stopping().
    Error run();

private:
    using Clock = std::chrono::steady_clock;
    // A resync under way: the containers that were listed and are yet to be heard of, and those that were heard of.
    struct Round {
        std::set<std::string> awaited;
        std::set<std::string> heard;
        std::size_t listed = 0;
        std::size_t silent = 0;
        std::string lastSilence;
    };

    Result<void> begin();
    Result<void> turn();
    Result<void> startRound();
    void endRound();
    void mark(const std::string& id);
    void askMarked();
    void retryUnheard();
    void inspected(const std::string& id, Result<Container> answer);
    void apply(const std::string& id, std::optional<plugin::Target> target);
    std::optional<plugin::Target> targetOf(const std::string& id, const Result<Container>& answer) const;
    std::chrono::milliseconds untilNext() const;

    Memory& memory_;
    plugin::Sink& sink_;
    SessionTimes times_;
    Pin pin_;
    Engine engine_;
    std::optional<Error> streamEnded_;
    std::set<std::string> marked_;   // to be asked for
    std::set<std::string> asked_;    // under way
    std::set<std::string> unheard_;  // to be asked for again
    std::optional<Round> round_;
    bool resyncWanted_ = false;
    Clock::time_point nextResync_;
    Clock::time_point nextPing_;
    Clock::time_point nextRetry_;
    std::chrono::milliseconds retryDelay_{};
};

}  // namespace recap::docker
