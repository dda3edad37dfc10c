// SPDX-License-Identifier: Apache-2.0
// The engine's socket: whether somebody listens there, and when it may be worth trying again.
#pragma once

#include <chrono>
#include <filesystem>
#include <random>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::docker {

class Socket {
public:
    explicit Socket(std::filesystem::path path);

    const std::filesystem::path& path() const { return path_; }
    // Somebody listens. NotFound: no engine is there; else it is, and does not let us.
    Result<void> probe() const;

    // Readable when something came or went in the folder that the socket would come to, or the nearest one that exists; look
    // anew before each wait. hasCome() empties it; true: it was about the socket.
    void look();
    int fd() const { return inotify_.get(); }
    bool hasCome();

private:
    std::filesystem::path path_;
    UniqueFd inotify_;
    int watch_ = -1;
    std::string awaited_;  // the name that is to come
};

// From 250 ms to 30 s, with jitter, so that many hosts do not come at once.
class Backoff {
public:
    std::chrono::milliseconds next();
    void reset() { step_ = kFirst; }

private:
    static constexpr std::chrono::milliseconds kFirst{250};
    static constexpr std::chrono::milliseconds kLongest{30'000};
    std::chrono::milliseconds step_ = kFirst;
    std::mt19937 random_{std::random_device{}()};
};

// "unix:///run/docker.sock" as a path.
Result<std::filesystem::path> socketPath(const std::string& endpoint);

}  // namespace recap::docker
