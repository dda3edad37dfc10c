// SPDX-License-Identifier: Apache-2.0
// Brings what a run leaves (its log, its artifacts) from the launcher into recapd's own folder, a piece a turn of the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "daemon/core/event.hpp"
#include "daemon/core/launcher.hpp"
#include "daemon/engine/log_reader.hpp"
#include "daemon/engine/vault.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

class Estates {
public:
    using Done = std::function<void(Result<void>)>;

    // `state` holds logs/ and artifacts/, which are made where absent; of more than `most` bytes in both, the oldest go.
    static Result<std::unique_ptr<Estates>> open(sd_event* loop, Launcher& launcher, const std::string& state,
                                                 std::uint64_t most = 4ull << 30);
    Estates(const Estates&) = delete;
    Estates& operator=(const Estates&) = delete;
    ~Estates();

    // Either may be absent: a null log, no artifacts. `done` comes on a later turn, when all of it would survive a loss of
    // power; after an error the launcher still has all.
    void keep(const RunId& id, std::shared_ptr<LogReader> log, bool artifacts, Done done);

    Result<UniqueFd> openLog(const RunId& id) const;
    Result<UniqueFd> openArtifacts(const RunId& id) const;  // a tar
    // Files of runs up to `newest` that are not `wanted` go.
    void sweep(std::unordered_set<RunId> wanted, RunId newest) { vault_->sweep(std::move(wanted), std::move(newest)); }

private:
    struct Job {
        Estates* owner = nullptr;
        RunId id;
        std::shared_ptr<LogReader> log;
        bool artifacts = false;
        Done done;
        UniqueFd from;  // the collector's pipe
        UniqueFd into;
        std::string part;  // what `into` is, until it has its own name
        std::uint64_t copied = 0;
        EventSource source;
    };

    Estates(sd_event* loop, Launcher& launcher, std::string state, std::unique_ptr<Vault> vault)
        : loop_(loop), launcher_(launcher), state_(std::move(state)), vault_(std::move(vault)) {}
    std::string path(const char* folder, const RunId& id, const char* ending) const;
    void next(Job& job);
    void collect(Job& job);
    void receive(Job& job, Result<UniqueFd> pipe);
    void end(Job& job, Result<void> result);
    Result<bool> copyLog(Job& job);        // true: all of it
    Result<bool> copyArtifacts(Job& job);  // likewise
    Result<void> create(Job& job, const char* folder, const char* ending);
    void publish(Job& job, const char* folder, const char* ending);
    void published(Job& job, Result<void> result);
    Job* find(const RunId& id);
    static int onTurn(sd_event_source* source, void* job);
    static int onReadable(sd_event_source* source, int fd, std::uint32_t events, void* job);

    sd_event* loop_;
    Launcher& launcher_;
    std::string state_;
    std::unique_ptr<Vault> vault_;
    std::unordered_map<RunId, std::unique_ptr<Job>> jobs_;
};

}  // namespace recap
