// SPDX-License-Identifier: Apache-2.0
// Kept files on their way to the disk and off it again: a thread that syncs, renames and removes, so that the loop never waits.
// Owned by Estates. What is queued together costs one sync of each folder.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "daemon/core/event.hpp"
#include "daemon/core/run.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

inline constexpr const char* kPart = ".part";  // what is not whole yet has it at the end of its name

class Vault {
public:
    using Done = std::function<void(Result<void>)>;

    // Makes `state`/logs and /artifacts where absent, and removes what an earlier recapd left unfinished in them. Beyond `most`
    // bytes the oldest files go.
    static Result<std::unique_ptr<Vault>> open(sd_event* loop, const std::string& state, std::uint64_t most);
    ~Vault();  // what is queued is done first; callbacks are not called any more
    Vault(const Vault&) = delete;
    Vault& operator=(const Vault&) = delete;

    // PATH.part, which is open as `file`, is durable as PATH when `done` is told so; removed after an error.
    void publish(UniqueFd file, std::string path, Done done);
    // Files of runs up to `newest` that are not `wanted` go.
    void sweep(std::unordered_set<RunId> wanted, RunId newest);

private:
    struct Job {
        UniqueFd file;
        std::string path;
        Done done;
        std::unordered_set<RunId> wanted;
        RunId newest;  // of a sweep
        Result<void> result;
    };

    Vault(std::string state, std::uint64_t most) : state_(std::move(state)), most_(most) {}
    void enqueue(Job job);
    void work();
    void perform(std::vector<Job>& jobs);
    void removeUnwanted(const Job& sweep);
    void bound();
    static int onDone(sd_event_source* source, int fd, std::uint32_t events, void* self);

    std::string state_;
    std::uint64_t most_;
    std::uint64_t held_ = 0;  // the thread's: bytes of all files, as it thinks
    UniqueFd wake_;           // eventfd: `done_` has something
    EventSource told_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Job> queue_;
    std::vector<std::pair<Done, Result<void>>> done_;
    bool stopping_ = false;
    std::thread worker_;
};

}  // namespace recap
