// SPDX-License-Identifier: Apache-2.0
// One connection to containerd, as long as it is good: subscribes, lists, then follows the events.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "plugins/containerd/client.hpp"
#include "plugins/containerd/roster.hpp"
#include "plugins/containerd/subscription.hpp"

namespace recap::containerd {

struct Options {
    std::string socket = "/run/containerd/containerd.sock";
    std::vector<std::string> namespaces;  // empty: all
    CallTimes calls;
    std::chrono::milliseconds resync{std::chrono::minutes(5)};
    std::chrono::milliseconds secondLook{2000};  // nothing says from when on a subscription is heard
    std::chrono::milliseconds probe{15'000};     // an engine that hangs sends no events either
    std::chrono::milliseconds firstRetry{250};
    std::chrono::milliseconds longestRetry{30'000};
};

// Of a pod's sandbox; none where it has none. Errors but NotFound are the connection's.
Result<Labels> podLabelsOf(Client& client, const Container& container);

class Session {
public:
    Session(const Options& options, Roster& roster, plugin::Sink& sink);

    // Until run() has to return (none), or else why the connection is of no more use.
    std::optional<std::string> serve();
    bool wasReady() const { return ready_; }  // a whole picture was told

private:
    using Clock = std::chrono::steady_clock;

    Result<void> follow();
    Result<void> resync();
    Result<void> list(const std::string& nameSpace, std::vector<plugin::Target>& into);
    Result<std::vector<Task>> tasks(const std::string& nameSpace, const std::vector<Container>& containers);
    Result<void> probe();
    Result<void> handle(const Event& event);
    Result<void> refresh(const std::string& nameSpace, const std::string& id);
    bool isWanted(const std::string& nameSpace) const;
    Result<void> stayAlive();  // an error: run() has to return

    const Options& options_;
    Roster& roster_;
    plugin::Sink& sink_;
    Client client_;
    Subscription subscription_;
    std::vector<std::string> seen_;  // namespaces, as of the last look
    Clock::time_point nextResync_;
    Clock::time_point nextProbe_;
    Clock::time_point lastResync_;
    bool ready_ = false;
    bool unknown_ = false;  // of some task the last look did not learn its state: the next one is soon
};

}  // namespace recap::containerd
