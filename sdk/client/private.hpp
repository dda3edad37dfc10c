// SPDX-License-Identifier: Apache-2.0
// What stands behind Client and Run: the connection, and the runs that it watches.
#pragma once

#include <map>
#include <vector>

#include "sdk/client/bus.hpp"
#include "sdk/client/recap/client.hpp"

namespace recap::client {

struct Run::State {
    std::string path;  // empty until recapd has accepted the run
    std::optional<RunEnd> end;
    std::optional<Error> failure;
    std::optional<std::chrono::seconds> stopLater;  // asked for before there was a path
    bool killLater = false;

    bool settled() const { return end || failure; }
};

struct Batch::State {
    std::string path;
    Rows results;
    std::map<std::string, std::size_t, std::less<>> byTarget;
    std::vector<std::size_t> fresh;  // finished, and not taken yet
    std::size_t finished = 0;
    Dict counts;
    std::optional<Error> failure;

    void append(Rows rows);
    void put(const Dict& row);
    bool settled() const { return failure || finished == results.size(); }
};

struct Client::Private {
    // A Run call that is under way.
    struct Pending {
        std::uint32_t serial;
        std::uint64_t deadline;  // CLOCK_MONOTONIC, µs
        std::shared_ptr<Run::State> state;
    };

    explicit Private(Bus connection) : bus(std::move(connection)) {}

    Bus bus;
    bool interactive = false;
    bool watching = false;
    bool watchingOwner = false;
    bool listening = false;
    std::string owner;  // recapd's unique name, once it has answered: no other sender's RunFinished counts
    std::vector<Pending> pending;
    std::vector<std::shared_ptr<Run::State>> open;       // accepted, no end yet
    std::vector<std::shared_ptr<Batch::State>> batches;  // likewise
    std::vector<Happening> happenings;                   // not taken yet

    Method manager(const char* member, int timeout = kListTimeout) const { return {kRoot, kManager, member, timeout, interactive}; }
    Dict asking() const { return interactive ? Dict{{"interactive", true}} : Dict{}; }

    Result<void> subscribe(const std::string& rule);  // without waiting for the bus to say so
    Result<void> watch();                             // for ends of runs
    Result<void> watchOwner();
    Result<void> start(const RunRequest& request, const std::shared_ptr<Run::State>& state);
    std::shared_ptr<Run::State> follow(const std::string& path, DBusMessage* reply);
    Result<void> fetch(Batch::State& batch);
    void tell(const char* interface, const std::string& path, const char* member, const std::uint32_t* grace);
    void handle(DBusMessage* message);
    void accepted(const std::shared_ptr<Run::State>& state, DBusMessage* reply);
    void finished(DBusMessage* signal);
    void ofBatch(DBusMessage* signal);
    void ownerChanged(DBusMessage* signal);
    void keep(DBusMessage* signal);  // for who listens
    void keepOwner(const std::string& now);
    bool expire();  // gives up what has waited too long; whether there was such a thing
    void failAll(const Error& why);
};

}  // namespace recap::client
