// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/sitting.hpp"

#include <unistd.h>

#include <optional>

#include "sdk/client/recapctl/attendance.hpp"
#include "sdk/client/recapctl/exit_status.hpp"

namespace recapctl {

using namespace recap;

namespace {

void addStreams(client::RunRequest& request, const Sitting& sitting, const Stdio& stdio) {
    request.endsWithCaller = !sitting.detach;
    request.interactive = ::isatty(STDIN_FILENO) == 1;
    request.standardInput = stdio.given(0);
    request.standardOutput = stdio.given(1);
    request.standardError = stdio.given(2);
    if (!sitting.tty) return;
    const TerminalSize size = terminalSize();
    request.tty = true;
    request.rows = size.rows;
    request.columns = size.columns;
}

Result<Stdio> openStdio(const Sitting& sitting, const Style& style) {
    if (sitting.detach) return Stdio{};
    if (!sitting.tty) return Stdio::open(!style.json);
    auto keys = DetachKeys::parse(sitting.detachKeys);
    if (!keys) return tl::unexpected(std::move(keys.error()).in("--detach-keys"));
    return Stdio::forTerminal(std::move(*keys));
}

// The streams close last: the run is to know that it goes on.
int leave(client::Client& client, const client::Run& run, Stdio& stdio, const Style& style) {
    auto detached = client.detach(run.id());
    stdio.close();
    if (!detached) return complain(std::move(detached.error()).in("run " + run.id()), style);
    note("detached from run " + run.id() + ", which goes on; recapctl attach " + run.id() + " comes back to it");
    return kSuccess;
}

int giveUp(const client::Run& run, int signal, const Style& style) {
    Error givenUp{Errc::Timeout, "given up on: it did not end, and may be under way"};
    complain(std::move(givenUp).in(run.accepted() ? "run " + run.id() : "the run"), style);
    return 128 + signal;
}

}  // namespace

int sit(Sitting sitting, const Style& style) {
    auto interrupts = std::make_optional<Interrupts>();
    auto client = client::Client::connect();
    if (!client) return complain(client.error(), style);
    if (auto prepared = sitting.prepare(*client, sitting); !prepared) return complain(prepared.error(), style);
    auto stdio = openStdio(sitting, style);
    if (!stdio) return complain(stdio.error(), style);
    client::RunRequest& request = sitting.request;
    addStreams(request, sitting, *stdio);
    const client::Run run = client->run(request);
    stdio->handedOver();
    Attendance attendance(*client, run, *stdio);
    if (sitting.detach) attendance.untilAccepted();
    if (sitting.tty && !sitting.detach) attendance.withTerminal({request.rows, request.columns});
    const auto over = attendance.attend(*interrupts);
    attendance.leaveTerminal();
    if (over == Attendance::Over::GivenUp) return giveUp(run, attendance.signal(), style);
    if (over == Attendance::Over::Left) return leave(*client, run, *stdio, style);
    if (over == Attendance::Over::Cut) {
        note("run " + run.id() + ": its terminal is somebody else's now");
        return leave(*client, run, *stdio, style);
    }
    interrupts.reset();
    stdio->drain();
    return sitting.settle(*client, run, attendance.signal() != 0);
}

}  // namespace recapctl
