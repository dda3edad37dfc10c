// SPDX-License-Identifier: Apache-2.0
// Runs one backend of a plugin on threads of its own: one for run(), one for find(), one while an image is exported. Used from the
// host's main thread.
#pragma once

#include <recap/plugin.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "daemon/host/exports.hpp"
#include "daemon/host/outbox.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::host {

struct WorkerTimes {
    std::chrono::milliseconds alive{std::chrono::seconds(RECAP_ALIVE_SECONDS)};  // run() says so at least this often
    std::chrono::milliseconds find{10'000};                                      // then recapd hears Timeout
    std::chrono::milliseconds findHung{30'000};                                  // then the plugin counts as hung
    std::chrono::milliseconds stop{5'000};                                       // from stop to the return of run() or an export
};

class Worker {
public:
    // Takes the backend over; it must have passed checkBackend().
    Worker(const recap_backend* backend, Outbox& outbox, WorkerTimes times = {});
    // Only after stop() answered true: threads that hang cannot be destroyed.
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void start();
    // Answers into the outbox, once.
    void find(std::uint64_t request, std::string id);
    Exports& exports() { return exports_; }
    // Answers late finds with Timeout. A sentence when the plugin is hung or its run() returned: the process has to end.
    std::optional<std::string> check();
    bool stop();  // true: all threads ended in time

private:
    using Clock = std::chrono::steady_clock;
    struct Request {
        std::uint64_t request;
        std::string id;
    };

    void runBackend();
    void runFinds();
    void answer(const Request& request, std::int32_t code, const recap_error& error);

    const recap_backend* backend_;
    Outbox& outbox_;
    WorkerTimes times_;
    UniqueFd stopFd_;
    SinkTable sink_;
    Exports exports_;
    std::atomic<Clock::rep> lastAlive_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Request> requests_;
    std::optional<Request> current_;  // under way in find()
    Clock::time_point currentSince_;
    bool currentAnswered_ = false;
    bool stopping_ = false;
    bool runEnded_ = false;
    bool findsEnded_ = false;
    std::string runError_;
    std::thread runThread_;
    std::thread findThread_;
};

Errc errcOf(std::int32_t pluginCode);
std::string messageOf(const recap_error& error);

}  // namespace recap::host
