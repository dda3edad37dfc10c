// SPDX-License-Identifier: Apache-2.0
// What stands behind Client and Run: the connection, and the runs that it watches.
#pragma once

#include <list>

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

struct Client::Private {
    // A Run call that is under way; sd-bus holds its address until the reply.
    struct Pending {
        Private* client;
        std::shared_ptr<Run::State> state;
    };

    bool interactive = false;
    bool watching = false;
    std::string owner;  // recapd's unique name, once it has answered: no other sender's RunFinished counts
    std::list<Pending> pending;
    std::vector<std::shared_ptr<Run::State>> open;  // accepted, no end yet
    BusPtr bus;                                     // goes first: nothing calls back afterwards

    Method manager(const char* member, std::uint64_t timeout = kListTimeout) const {
        return {kRoot, kManager, member, timeout, interactive};
    }
    Dict asking() const { return interactive ? Dict{{"interactive", true}} : Dict{}; }

    int watch();  // subscribes, without waiting for the bus to say so
    Result<void> start(const RunRequest& request, const std::shared_ptr<Run::State>& state);
    void tell(const std::string& path, const char* member, const std::uint32_t* grace);
    void accepted(Pending& call, sd_bus_message* reply);
    void finished(sd_bus_message* signal);
    void ownerChanged(sd_bus_message* signal);
    void failAll(const Error& why);
};

}  // namespace recap::client
