// SPDX-License-Identifier: Apache-2.0
// The system bus on recapd's loop. One thread owns it.
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <memory>

#include "daemon/core/event.hpp"
#include "sdk/base/result.hpp"

namespace recap::bus {

// After launcher, engine and hosts, whose work has begun: who floods the bus waits.
constexpr std::int64_t kBusPriority = SD_EVENT_PRIORITY_NORMAL + 10;

class Connection {
public:
    static Result<std::unique_ptr<Connection>> open(sd_event* loop);  // the loop ends with an error when the bus goes away
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    sdbus::IConnection& operator*() { return *bus_; }
    sdbus::IConnection* operator->() { return bus_.get(); }

private:
    Connection() = default;
    Result<void> attach(sd_event* loop);
    void turn();
    void yield(bool more);
    static int prepare(sd_event_source* source, void* self);
    static int onIo(sd_event_source* source, int fd, std::uint32_t events, void* self);
    static int onTime(sd_event_source* source, std::uint64_t now, void* self);

    std::unique_ptr<sdbus::IConnection> bus_;
    sd_event* loop_ = nullptr;
    EventSource io_;
    EventSource time_;
    bool yielding_ = false;
};

}  // namespace recap::bus
