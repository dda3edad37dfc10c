// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/connection.hpp"

#include <systemd/sd-daemon.h>

#include <cstdio>
#include <cstdlib>

#include "daemon/bus/door.hpp"

namespace recap::bus {

namespace {

constexpr int kMessagesATurn = 16;

}  // namespace

void logDropped(const char* what, const std::string& why) { std::fprintf(stderr, SD_WARNING "%s was not sent: %s\n", what, why.c_str()); }

Result<std::unique_ptr<Connection>> Connection::open(sd_event* loop) {
    std::unique_ptr<Connection> connection(new Connection);
    try {
        connection->bus_ = sdbus::createSystemBusConnection();
    } catch (const sdbus::Error& error) {
        return fail(Errc::Unavailable, "connect to the system bus: " + error.getMessage());
    }
    if (auto attached = connection->attach(loop); !attached) return forward(std::move(attached));
    return connection;
}

Connection::~Connection() = default;

Result<void> Connection::attach(sd_event* loop) {
    loop_ = loop;
    const auto poll = bus_->getEventLoopPollData();
    sd_event_source* source = nullptr;
    int error = sd_event_add_io(loop, &source, poll.fd, static_cast<std::uint32_t>(poll.events), onIo, this);
    if (error < 0) return failErrno("watch the bus", -error);
    io_.reset(source);
    error = sd_event_add_time(loop, &source, CLOCK_MONOTONIC, 0, 1, onTime, this);
    if (error < 0) return failErrno("the bus's timer", -error);
    time_.reset(source);
    for (auto* mine : {io_.get(), time_.get()}) {
        error = sd_event_source_set_priority(mine, kBusPriority);
        if (error < 0) return failErrno("the bus's priority", -error);
    }
    error = sd_event_source_set_prepare(io_.get(), prepare);
    if (error < 0) return failErrno("the bus's turn", -error);
    return {};
}

int Connection::prepare(sd_event_source* source, void* self) {
    auto& connection = *static_cast<Connection*>(self);
    try {
        const auto poll = connection.bus_->getEventLoopPollData();
        sd_event_source_set_io_events(source, static_cast<std::uint32_t>(poll.events));  // EPOLLOUT too, for long replies
        sd_event_source* timer = connection.time_.get();
        if (poll.timeout_usec == UINT64_MAX) return sd_event_source_set_enabled(timer, SD_EVENT_OFF);
        sd_event_source_set_time(timer, poll.timeout_usec);
        return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
    } catch (const std::exception&) {
        return sd_event_exit(connection.loop_, EXIT_FAILURE);
    }
}

// What is left makes prepare() ask for a turn at once.
void Connection::turn() {
    try {
        int taken = 0;
        while (taken < kMessagesATurn && bus_->processPendingRequest()) ++taken;
        yield(taken == kMessagesATurn);
    } catch (const std::exception& error) {
        std::fprintf(stderr, SD_ERR "the system bus is gone: %s\n", error.what());
        sd_event_exit(loop_, EXIT_FAILURE);
    }
}

// While there is always more, idle work takes its turns too.
void Connection::yield(bool more) {
    if (more == yielding_) return;
    yielding_ = more;
    for (auto* source : {io_.get(), time_.get()})
        sd_event_source_set_priority(source, more ? std::int64_t{SD_EVENT_PRIORITY_IDLE} : kBusPriority);
}

int Connection::onIo(sd_event_source*, int, std::uint32_t, void* self) {
    static_cast<Connection*>(self)->turn();
    return 0;
}

int Connection::onTime(sd_event_source*, std::uint64_t, void* self) {
    static_cast<Connection*>(self)->turn();
    return 0;
}

}  // namespace recap::bus
