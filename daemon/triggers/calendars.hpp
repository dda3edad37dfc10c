// SPDX-License-Identifier: Apache-2.0
// When a calendar's times are, in systemd's own words: asked of systemd-analyze, which needs no manager to run and no right. On the loop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/event.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

using CalendarTimes = std::vector<std::uint64_t>;  // CLOCK_REALTIME, µs, the soonest first; empty: it has none to come

// What `systemd-analyze calendar` prints of so many calendars; Internal where that is something else.
Result<std::vector<CalendarTimes>> readCalendarTimes(std::string_view printed, std::size_t calendars);

class Calendars {
public:
    using Answers = std::map<std::string, Result<CalendarTimes>>;
    using Then = std::function<void(const Answers&)>;

    Calendars(sd_event* loop, std::string program) : loop_(loop), program_(std::move(program)) {}
    ~Calendars();
    Calendars(const Calendars&) = delete;
    Calendars& operator=(const Calendars&) = delete;

    // The next five times of each. InvalidArgument: systemd takes no such calendar; Unavailable: it could not be asked. Answers from
    // inside the call where it has been asked before.
    void ask(const std::vector<std::string>& calendars, Then then);

private:
    struct Question {
        std::size_t open = 0;  // calendars whose times are not here yet
        Answers answers;
        Then then;
    };
    using Job = std::vector<std::string>;  // calendars that are asked about together

    Result<void> start(const Job& job);
    void next();
    void answer(const Job& job, int status, const std::string& printed);
    void settle(const std::string& calendar, const Result<CalendarTimes>& times);
    void ended();
    static int onEnd(sd_event_source* source, int fd, std::uint32_t events, void* self);
    static int onLate(sd_event_source* source, std::uint64_t now, void* self);

    sd_event* loop_;
    std::string program_;
    std::map<std::string, CalendarTimes, std::less<>> known_;
    // Who waits for a calendar that is in a job: whoever may list schedules may ask any number of times, and is one more here.
    std::map<std::string, std::vector<std::shared_ptr<Question>>, std::less<>> waiting_;
    std::deque<Job> jobs_;  // the first one is under way while there is a child
    pid_t child_ = 0;
    UniqueFd pidfd_;
    UniqueFd output_;
    EventSource end_;
    EventSource late_;
};

}  // namespace recap
