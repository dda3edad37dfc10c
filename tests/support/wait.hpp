// SPDX-License-Identifier: Apache-2.0
// Waiting for something to be so, with a deadline and without sleeping for luck: kernel events where there are any
// (pidfds, inotify, readable descriptors), else a condition looked at again and again until the deadline.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <initializer_list>

#include "sdk/base/unique_fd.hpp"

namespace recap::test {

class Deadline {
public:
    explicit Deadline(std::chrono::milliseconds within) : at_(std::chrono::steady_clock::now() + within) {}
    bool passed() const { return std::chrono::steady_clock::now() >= at_; }
    int remainingMs() const;  // for poll(2): at least 0

private:
    std::chrono::steady_clock::time_point at_;
};

inline const std::chrono::seconds kPatience{20};  // for what must happen; never a measure of how fast it does

UniqueFd openPidfd(pid_t pid);  // throws std::runtime_error
bool waitReadable(int fd, const Deadline& deadline);
int waitAny(std::initializer_list<int> fds, const Deadline& deadline);  // the first that is readable; -1: none in time
bool waitForExit(int pidfd, const Deadline& deadline);
bool waitForPath(const std::filesystem::path& path, const Deadline& deadline);  // its folder must exist
bool waitUntil(const std::function<bool()>& condition, const Deadline& deadline);

}  // namespace recap::test
