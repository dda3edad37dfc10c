// SPDX-License-Identifier: Apache-2.0
// A backend's images for recapd: one export at a time, each on a thread of its own. Used from the host's main thread.
#pragma once

#include <recap/plugin.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "daemon/host/outbox.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::host {

class Exports {
    using Clock = std::chrono::steady_clock;

public:
    // `patience`: from an export's stop to its return.
    Exports(const recap_backend* backend, Outbox& outbox, std::chrono::milliseconds patience);
    ~Exports();  // only after ended() answered true
    Exports(const Exports&) = delete;
    Exports& operator=(const Exports&) = delete;

    // Answers into the outbox, once.
    void begin(std::uint64_t request, std::string reference, UniqueFd out);
    // The pipe of the export under way: POLLERR says that its reader has gone. -1: there is none, or it is stopped already.
    int pipe() const { return stopped_ ? -1 : out_.get(); }
    void stop();
    // Takes back what has ended. A sentence when an export does not return: the process has to end.
    std::optional<std::string> check();
    bool ended() { return endedBy(Clock::time_point::min()); }  // none is under way
    bool endedBy(Clock::time_point until);                      // waits for that

private:
    void run(std::uint64_t request, const std::string& reference);

    const recap_image_source* source_ = nullptr;
    Outbox& outbox_;
    std::chrono::milliseconds patience_;
    UniqueFd out_;     // the thread borrows both
    UniqueFd stopFd_;  // readable: it has to end
    std::optional<Clock::time_point> stopped_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool returned_ = false;  // locked
    std::thread thread_;
};

}  // namespace recap::host
