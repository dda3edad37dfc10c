// SPDX-License-Identifier: Apache-2.0
// recapd's end of one plugin host: connects, reads its records, keeps it honest. On the loop.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/backend.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/settings.hpp"
#include "daemon/host/engine_socket.hpp"
#include "daemon/host/wire.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::host {

struct HostTimes {                       // µs
    std::uint64_t firstRetry = 250'000;  // doubled each time, by half of it at random
    std::uint64_t longestRetry = 30'000'000;
    std::uint64_t ping = 60'000'000;    // between two questions whether the host still turns
    std::uint64_t answer = 12'000'000;  // for a ping's answer: then the host counts as hung; for a search's: then that search has failed
    std::uint64_t missing = 1'000'000;  // a search that found nothing is not asked for again
};

class HostConnection {
public:
    using Reply = std::function<void(Result<void>)>;

    using IsOwn = std::function<bool(const TargetRecord&)>;  // of RECap itself, so no host's to name

    HostConnection(sd_event* loop, std::string socketPath, PluginSetting setting, TargetSink& sink, HostTimes times, IsOwn isOwn);
    HostConnection(const HostConnection&) = delete;
    HostConnection& operator=(const HostConnection&) = delete;

    void start();
    void find(const std::string& id, Reply reply);
    // As ImageExporter says; one at a time.
    void exportImage(const std::string& reference, UniqueFd out, Reply reply);
    // It is no longer configured so: who waits is told. Nothing but the destructor may follow.
    void close(const std::string& why);
    pid_t hostPid() const { return hostPid_; }  // 0: it has not said anything
    const BackendStatus& status() const { return status_; }

private:
    struct Search {
        std::string id;
        std::vector<Reply> replies;  // of all who look for the same
    };
    struct Missing {
        Error error;
        std::uint64_t until;
    };
    struct Snapshot {
        std::vector<Target> targets;
        std::set<std::string> ids;
    };

    void connect();
    bool awaitEngine();  // true: it is not there, and connect() is called again when it may be
    void disconnect(const std::string& why);
    void setState(BackendState state, std::string detail);
    void armTimer(std::uint64_t delay);
    void armForDeadlines();
    void onTime();
    bool receive();  // false: the connection is gone
    bool send(const ToHost& record, int descriptor = -1);
    void askNext();
    void giveUpSearch();
    void failAsked(const std::string& why);
    Result<void> accept(std::string_view bytes);
    void gap(const std::string& why);
    std::optional<Target> toTarget(TargetRecord&& record);
    bool owns(const TargetRecord& record) const;

    Result<void> handle(Hello&& record);
    Result<void> handle(SnapshotBegin&& record);
    Result<void> handle(SnapshotTarget&& record);
    Result<void> handle(SnapshotEnd&& record);
    Result<void> handle(Added&& record);
    Result<void> handle(Changed&& record);
    Result<void> handle(Removed&& record);
    Result<void> handle(StateRecord&& record);
    Result<void> handle(Found&& record);
    Result<void> handle(Pong&& record);
    Result<void> handle(Exported&& record);
    Result<void> update(TargetRecord&& record);

    sd_event* loop_;
    std::string path_;
    PluginSetting setting_;
    TargetSink& sink_;
    HostTimes times_;
    IsOwn isOwn_;
    BackendStatus status_;
    std::mt19937_64 random_;
    EngineSocket engine_;
    UniqueFd fd_;
    pid_t hostPid_ = 0;
    EventSource readable_;
    EventSource timer_;
    std::uint64_t retry_ = 0;
    std::uint64_t lastNumber_ = 0;
    bool greeted_ = false;
    bool saidWhy_ = false;              // the host's last word was why it is unavailable: kept when it ends
    bool trusted_ = false;              // a snapshot was whole, and nothing missed since
    std::optional<Snapshot> snapshot_;  // under way
    std::set<std::string> known_;       // ids told to the sink
    // The host searches one at a time, so it is asked so: a deadline runs from when it can begin.
    std::uint64_t request_ = 0;
    std::uint64_t searchDeadline_ = 0;
    std::optional<Search> asked_;
    std::deque<Search> queued_;
    std::map<std::string, Missing> missing_;
    std::uint64_t exportRequest_ = 0;
    Reply exported_;  // of the export under way; empty: there is none
    std::uint64_t pingNonce_ = 0;
    std::uint64_t pingDeadline_ = 0;  // 0: none under way
    std::uint64_t nextPing_ = 0;
};

}  // namespace recap::host
