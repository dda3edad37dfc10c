// SPDX-License-Identifier: Apache-2.0
// The stream of GET /events: one JSON object a line, without end.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "plugins/docker/readers.hpp"

namespace recap::docker {

// Cuts bytes into events and drops those that came before, as they do where a stream is opened again at the last one's time.
class EventReader {
public:
    static constexpr std::size_t kMaxLine = 256 * 1024;

    // Calls `onEvent` for each new event. A line that is longer than kMaxLine, or is none about a container, is left out.
    void feed(std::string_view bytes, const std::function<void(const Event&)>& onEvent);
    // The stream ended: half a line is none.
    void restart();

    std::uint64_t lastTime() const { return lastTime_; }  // of the latest event; 0: none yet
    // Something was left out that may have been about a container. Asking forgets it.
    bool hasMissed();

private:
    static constexpr std::size_t kRemembered = 512;

    void line(std::string_view text, const std::function<void(const Event&)>& onEvent);

    std::string rest_;
    bool skipping_ = false;  // up to the end of a line that is too long
    bool missed_ = false;
    std::uint64_t lastTime_ = 0;
    std::deque<Event> recent_;
};

// The query of GET /events from `since` on (ns since 1970), for what changes a container's being a target.
std::string eventsQuery(std::uint64_t since);

}  // namespace recap::docker
