// SPDX-License-Identifier: Apache-2.0
// The host's main loop: one connection of recapd, from accept to EOF.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "daemon/host/outbox.hpp"
#include "daemon/host/worker.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::host {

// A SOCK_SEQPACKET listener at `path`, mode 0600; replaces a socket that nobody listens on any more.
Result<UniqueFd> listenAt(const std::string& path);
// The listener that systemd handed over; absent where it handed over none.
Result<UniqueFd> listenerFromSystemd();

class Server {
public:
    // Called once, after recapd has connected: makes the backend (plugin and instance names go into Hello by then).
    using Make = std::function<Result<const recap_backend*>(Hello& hello)>;

    Server(UniqueFd listener, Make make, WorkerTimes times = {});
    // The process's exit status: 0 after EOF or a signal, 1 when the plugin failed. A hung plugin ends the process at once.
    int run();

private:
    enum class Wake { Connection, Stop };

    bool accept();
    bool serve();    // one turn; false: the end
    bool receive();  // false: EOF
    bool take(const ToHost& record, UniqueFd descriptor);
    bool sendPending();  // false: the connection broke
    int finish(const std::string& why);
    void flush();
    void watchdog();

    UniqueFd listener_;
    Make make_;
    WorkerTimes times_;
    UniqueFd signals_;
    UniqueFd connection_;
    Outbox outbox_;
    std::unique_ptr<Worker> worker_;
    std::string unsent_;
    std::string failure_;
    std::chrono::milliseconds tick_{1000};
    bool watched_ = false;
};

}  // namespace recap::host
