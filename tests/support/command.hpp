// SPDX-License-Identifier: Apache-2.0
// Programs started by tests: their output, their end, and nothing left of them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sdk/base/unique_fd.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

struct Command {
    std::vector<std::string> argv;
    std::map<std::string, std::string> env = {};  // beside this process's own
    std::string input = {};                       // at most 64 KiB
    std::optional<std::uint32_t> uid = {};        // with gid = uid and no groups, unless gid is given
    std::optional<std::uint32_t> gid = {};
    pid_t network = 0;                      // run in this process's network namespace
    std::filesystem::path outputFile = {};  // stdout and stderr go there instead
    std::chrono::milliseconds patience = std::chrono::seconds(60);
};

struct CommandResult {
    int status = -1;  // exit status; 128+n for signal n
    bool timedOut = false;
    std::string out;
    std::string err;
    bool ok() const { return status == 0 && !timedOut; }
    std::string all() const;  // for messages: status, out and err
};

// One running program. Killed and reaped when it goes out of scope.
class Child {
public:
    explicit Child(const Command& command);  // throws std::runtime_error where it can't be started
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); }
    const std::string& out() const { return result_.out; }                  // what was read of it so far
    const std::string& readOut();                                           // and of what is there by now
    bool waitForOutput(const std::string& text, const Deadline& deadline);  // in stdout or stderr; false: ended or too late
    CommandResult wait(const Deadline& deadline);                           // too late: killed, timedOut
    void signal(int number) const;

private:
    bool pump(int timeoutMs);  // reads what is there; false: nothing more to come
    void reap();

    pid_t pid_ = -1;
    bool reaped_ = false;
    UniqueFd pidfd_, out_, err_;
    CommandResult result_;
};

CommandResult run(const Command& command);
CommandResult run(std::vector<std::string> argv);
CommandResult mustRun(const Command& command);  // throws std::runtime_error unless it exits with 0
CommandResult mustRun(std::vector<std::string> argv);

}  // namespace recap::test
