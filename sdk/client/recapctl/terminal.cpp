// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/terminal.hpp"

#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>

namespace recapctl {

namespace {

// For the handlers, which have nothing else to go by.
termios before;
volatile std::sig_atomic_t isRaw = 0;

bool inForeground() { return ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

// Also in a signal handler. Another job's terminal is left alone: its shell has set it long since.
void restore() {
    if (isRaw == 0) return;
    isRaw = 0;
    if (inForeground()) ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void restoreAndDie(int number) {
    restore();
    ::raise(number);  // the handler is gone by now
}

// INT, TERM and HUP are read from a descriptor, and end the run first.
void restoreOnEveryWayOut() {
    static bool set = false;
    if (set) return;
    set = true;
    std::atexit(restore);
    struct sigaction action {};
    action.sa_handler = restoreAndDie;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    for (const int number : {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGALRM, SIGVTALRM, SIGPROF, SIGUSR1,
                             SIGUSR2, SIGXCPU, SIGXFSZ, SIGIO, SIGPWR, SIGSTKFLT})
        ::sigaction(number, &action, nullptr);
}

}  // namespace

bool onTerminal() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1; }

TerminalSize terminalSize() {
    winsize size{};
    for (const int fd : {STDOUT_FILENO, STDIN_FILENO})
        if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) return {size.ws_row, size.ws_col};
    return {};
}

void RawTerminal::enter() {
    if (isRaw != 0 || ::isatty(STDIN_FILENO) != 1 || !inForeground() || ::tcgetattr(STDIN_FILENO, &before) != 0) return;
    restoreOnEveryWayOut();
    termios raw = before;
    ::cfmakeraw(&raw);
    isRaw = 1;
    if (::tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) isRaw = 0;
}

void RawTerminal::leave() { restore(); }

TerminalSignals::TerminalSignals() {
    sigemptyset(&own_);
    for (const int signal : {SIGWINCH, SIGTSTP, SIGCONT}) sigaddset(&own_, signal);
    ::sigprocmask(SIG_BLOCK, &own_, nullptr);
    fd_ = recap::UniqueFd(::signalfd(-1, &own_, SFD_CLOEXEC | SFD_NONBLOCK));
}

TerminalSignals::~TerminalSignals() { ::sigprocmask(SIG_UNBLOCK, &own_, nullptr); }

int TerminalSignals::take() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace recapctl
