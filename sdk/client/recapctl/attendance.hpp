// SPDX-License-Identifier: Apache-2.0
// From the request's leaving to the run's end: the bus, the streams, the terminal and its signals, whichever has something.
#pragma once

#include <chrono>
#include <optional>

#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/interrupts.hpp"
#include "sdk/client/recapctl/stdio.hpp"
#include "sdk/client/recapctl/terminal.hpp"

namespace recapctl {

// A run of one's own is ended by a signal, one that is attached to is left behind.
enum class Guest { No, Yes };

class Attendance {
public:
    enum class Over {
        Ended,    // the run, or there will be none
        GivenUp,  // it does not end, though asked twice
        Left,     // by the keys, or a guest by a signal
        Cut,      // off its streams, while it goes on
    };

    Attendance(recap::client::Client& client, const recap::client::Run& run, Stdio& stdio, Guest guest = Guest::No)
        : client_(client), run_(run), stdio_(stdio), guest_(guest) {}

    void untilAccepted() { untilAccepted_ = true; }
    // The run has a terminal of this size: once it is accepted, ours is its. Of another's run the size is not known.
    void withTerminal(TerminalSize size);

    Over attend(const Interrupts& interrupts);
    int signal() const { return signal_; }  // the last one; 0: none
    void leaveTerminal() { raw_.leave(); }

private:
    bool over() const { return run_.ended() || (untilAccepted_ && run_.accepted()); }
    bool pumpBus();
    void waitOnce(const Interrupts& interrupts);
    std::optional<Over> onInterrupt(int number);
    void beginTyping();
    void onTerminalSignal(int number);
    void resize();
    bool isCut();

    recap::client::Client& client_;
    const recap::client::Run& run_;
    Stdio& stdio_;
    Guest guest_;
    bool untilAccepted_ = false;
    int asked_ = 0;
    int signal_ = 0;
    int interrupt_ = 0;  // of this turn
    std::optional<TerminalSignals> terminal_;
    RawTerminal raw_;
    TerminalSize size_;
    std::optional<std::chrono::steady_clock::time_point> cutAt_;
};

}  // namespace recapctl
