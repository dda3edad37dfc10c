// SPDX-License-Identifier: Apache-2.0
// One run's standard streams as the supervisor holds them: the payload's pipes or its terminal, the log, and who is attached. The
// log never throttles the payload: beyond its cap output is dropped, and that is told. Who is attached does, as a pipe would: what
// they have not read stays with the payload, and 64 KiB of it here.
//
// One is attached at a time. Whoever closes the read ends is detached and the payload goes on; whoever closes the write end alone
// has ended its input: that is passed on where it is a pipe. A terminal's end of file is a character, which is typed.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/launcher/feed.hpp"
#include "daemon/launcher/output.hpp"
#include "daemon/launcher/protocol.hpp"
#include "daemon/launcher/terminal.hpp"

namespace recap::launcher {

class Streams {
public:
    Streams(Loop& loop, std::shared_ptr<StreamCounts> counts);
    ~Streams();
    Streams(const Streams&) = delete;
    Streams& operator=(const Streams&) = delete;

    // Makes what the plan's kinds ask for. `given`: the caller's descriptors, in order of number.
    Result<void> open(const Plan& plan, std::vector<UniqueFd> given, std::array<UniqueFd, 3>& payload);
    UniqueFd takeTerminalMount() { return terminal_ ? std::move(terminal_->mount) : UniqueFd(); }
    bool hasTerminal() const { return terminal_.has_value(); }

    // The other ends: stdin to write to, stdout and stderr to read from, which begin with the last `replay` bytes of each.
    Result<std::array<UniqueFd, 3>> attach(bool takeOver, std::uint64_t replay);
    Result<void> resize(std::uint32_t rows, std::uint32_t columns);
    // The payload is gone: what it said last goes to the log and to who is attached, and no more follows.
    void finish();

    int logFd() const { return log_ ? log_->fd() : -1; }
    std::uint64_t logBytes() const { return log_ ? log_->bytes() : 0; }  // that the payload wrote
    std::uint64_t logKept() const { return log_ ? log_->kept() : 0; }    // of memory
    bool logTruncated() const { return log_ && log_->truncated(); }

private:
    struct Output {
        UniqueFd pipe;  // the payload's, where it has no terminal
        std::shared_ptr<Feed> feed;
        std::string last;
    };

    Result<void> openOutput(std::size_t which, UniqueFd& payload);
    Result<void> openInput(UniqueFd& payload);
    Result<void> openTerminalFor(const Plan& plan, std::array<UniqueFd, 3>& payload);
    void join(std::size_t stream, UniqueFd end);

    int source(std::size_t which) const { return terminal_ && which == 0 ? terminal_->master.get() : outputs_[which].pipe.get(); }
    int sink() const { return terminal_ ? terminal_->master.get() : input_.get(); }
    bool attached() const;
    bool listening() const;
    void detach();
    bool pump(std::size_t which);
    void take(std::size_t which, std::string_view bytes);
    void readTyping();
    void writeTyped();
    void endTyping();
    void endInput();
    void feedChanged();

    void arrange();  // what the loop watches, after any change
    void watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> handler);
    void unwatch(int fd);

    Loop& loop_;
    std::shared_ptr<StreamCounts> counts_;
    std::optional<Terminal> terminal_;
    std::optional<OutputLog> log_;
    std::uint64_t logTaken_ = 0;     // of the memory that the logs of all runs share
    std::array<Output, 2> outputs_;  // stdout, or the terminal; stderr
    UniqueFd input_;                 // the payload's stdin
    UniqueFd typing_;                // of who is attached
    std::string typed_;              // on its way from there to the payload; at most one read
    bool ending_ = false;            // the payload's stdin ends after what is typed
    std::optional<Loop::TimerId> endCheck_;
    std::map<int, std::uint32_t> watched_;  // descriptor, events
};

}  // namespace recap::launcher
