// SPDX-License-Identifier: Apache-2.0
// That something long is under way, for who waits at a terminal.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace recapctl {

// One line on `out`, from a second after the start until the end of its life, which takes it away: "importing app.tar: 43%, 12 s".
// Nothing where `out` is no terminal. It has a thread of its own: its owner waits for something else meanwhile.
class Progress {
public:
    // `file`: a regular file that somebody reads by this very open file description, whose offset tells how far; -1: none. Is kept by
    // the caller.
    Progress(std::string what, int file, int out, std::chrono::milliseconds every = std::chrono::seconds(1));
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

private:
    void tell();
    std::string line(std::chrono::seconds since) const;

    std::string what_;
    int file_, out_;
    std::chrono::milliseconds every_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ended_ = false;
    std::thread thread_;
};

// One line on `out` that its owner, who waits for nothing else, writes anew as things change. Nothing where that is no terminal.
class LiveLine {
public:
    explicit LiveLine(int out);
    ~LiveLine() { takeAway(); }
    LiveLine(const LiveLine&) = delete;
    LiveLine& operator=(const LiveLine&) = delete;

    bool isSeen() const { return out_ >= 0; }
    void show(const std::string& text);
    void takeAway();  // before anything else is written to the terminal

private:
    int out_;
    std::string shown_;
};

}  // namespace recapctl
