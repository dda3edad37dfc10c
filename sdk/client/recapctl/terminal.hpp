// SPDX-License-Identifier: Apache-2.0
// The user's terminal while a run has it: every key goes to the run as it is, and the terminal is as it was again on each way out,
// a crash included. What remains are SIGKILL and a SIGSTOP that somebody sends.
#pragma once

#include <csignal>
#include <cstdint>

#include "sdk/base/unique_fd.hpp"

namespace recapctl {

struct TerminalSize {
    std::uint32_t rows = 0;
    std::uint32_t columns = 0;
    bool operator==(const TerminalSize&) const = default;
};

bool onTerminal();            // standard input and output both are one
TerminalSize terminalSize();  // of either; 0 and 0: neither is one

// One at a time. Nothing happens where standard input is no terminal, or is another job's now.
class RawTerminal {
public:
    RawTerminal() = default;
    ~RawTerminal() { leave(); }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
    void enter();
    void leave();
};

// WINCH, TSTP and CONT as something to poll, as long as this lives.
class TerminalSignals {
public:
    TerminalSignals();
    ~TerminalSignals();
    TerminalSignals(const TerminalSignals&) = delete;
    TerminalSignals& operator=(const TerminalSignals&) = delete;
    int fd() const { return fd_.get(); }
    int take() const;  // the signal's number; 0: none

private:
    sigset_t own_{};
    recap::UniqueFd fd_;
};

}  // namespace recapctl
