// SPDX-License-Identifier: Apache-2.0
// INT, TERM and HUP as something to poll, so that the run is ended before its caller is; as long as this lives.
#pragma once

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "sdk/base/unique_fd.hpp"

namespace recapctl {

class Interrupts {
public:
    Interrupts() {
        sigset_t set;
        sigemptyset(&set);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
        ::sigprocmask(SIG_BLOCK, &set, &before_);
        fd_ = recap::UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    ~Interrupts() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;
    int fd() const { return fd_.get(); }
    int take() const {  // the signal's number; 0: none
        signalfd_siginfo info{};
        return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
    }

private:
    sigset_t before_{};
    recap::UniqueFd fd_;
};

}  // namespace recapctl
