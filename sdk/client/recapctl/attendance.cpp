// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/attendance.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace recapctl {

using namespace recap;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kGrace{5};     // from TERM to KILL after Ctrl-C
constexpr std::chrono::seconds kCutGrace{2};  // a run's streams close before its end is told

std::uint64_t microseconds(Clock::time_point at) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count());
}

timespec until(std::uint64_t deadline) {
    const std::uint64_t at = microseconds(Clock::now());
    const std::uint64_t left = deadline > at ? deadline - at : 0;
    return {static_cast<time_t>(left / 1'000'000), static_cast<long>(left % 1'000'000 * 1000)};
}

}  // namespace

void Attendance::withTerminal(TerminalSize size) {
    terminal_.emplace();
    size_ = size;
    stdio_.holdInput();
}

Attendance::Over Attendance::attend(const Interrupts& interrupts) {
    for (;;) {
        if (!pumpBus() || over()) return Over::Ended;
        if (terminal_ && run_.accepted() && stdio_.inputHeld()) beginTyping();
        if (stdio_.keysPressed()) return Over::Left;
        if (isCut()) return Over::Cut;
        waitOnce(interrupts);
        if (const int number = std::exchange(interrupt_, 0))
            if (const auto done = onInterrupt(number)) return *done;
    }
}

bool Attendance::pumpBus() {
    for (;;) {
        auto more = client_.pump();
        if (!more) return false;  // the run has that as its failure
        if (!*more || over()) return true;
    }
}

std::optional<Attendance::Over> Attendance::onInterrupt(int number) {
    signal_ = number;
    if (guest_ == Guest::Yes) return Over::Left;
    if (++asked_ == 1)
        client_.stop(run_, kGrace);
    else if (asked_ == 2 && run_.accepted())
        client_.kill(run_);
    else
        return Over::GivenUp;
    return {};
}

void Attendance::waitOnce(const Interrupts& interrupts) {
    enum { Bus = Stdio::kPolls, Signals, Terminal, All };
    const auto streams = stdio_.polls();
    std::array<pollfd, All> polls{};
    std::copy(streams.begin(), streams.end(), polls.begin());
    polls[Bus] = {client_.fd(), client_.events(), 0};
    polls[Signals] = {interrupts.fd(), POLLIN, 0};
    polls[Terminal] = {terminal_ ? terminal_->fd() : -1, POLLIN, 0};
    std::uint64_t deadline = client_.deadline();
    if (cutAt_) deadline = std::min(deadline, microseconds(*cutAt_));
    const timespec timeout = until(deadline);
    if (::ppoll(polls.data(), polls.size(), deadline == UINT64_MAX ? nullptr : &timeout, nullptr) < 0) return;
    std::array<pollfd, Stdio::kPolls> ready{};
    std::copy_n(polls.begin(), ready.size(), ready.begin());
    stdio_.pump(ready);
    if (polls[Terminal].revents != 0) onTerminalSignal(terminal_->take());
    if (polls[Signals].revents != 0) interrupt_ = interrupts.take();
}

// Not before the run is accepted: until then polkit may be asking for a password on this very terminal.
void Attendance::beginTyping() {
    raw_.enter();
    stdio_.letInput();
    if (guest_ == Guest::Yes) {  // what fills the whole screen paints it anew for another size
        const TerminalSize now = terminalSize();
        if (now.rows > 0) client_.resize(run_, now.rows + 1, now.columns);
    }
    resize();
}

void Attendance::resize() {
    const TerminalSize now = terminalSize();
    if (now == size_ || now.rows == 0) return;
    size_ = now;
    client_.resize(run_, now.rows, now.columns);
}

void Attendance::onTerminalSignal(int number) {
    if (number == SIGTSTP) {
        raw_.leave();
        ::kill(::getpid(), SIGSTOP);  // and on from here when it is continued
    }
    if (number == 0 || stdio_.inputHeld()) return;
    if (number != SIGWINCH) raw_.enter();
    resize();
}

bool Attendance::isCut() {
    if (!stdio_.cutOff()) return false;
    if (!cutAt_) cutAt_ = Clock::now() + kCutGrace;
    return Clock::now() >= *cutAt_;
}

}  // namespace recapctl
