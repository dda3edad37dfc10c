// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/event_input.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

namespace recap {

std::string occurrenceText(const Occurrence& occurrence) {
    const nlohmann::ordered_json json{{"on", occurrence.on}, {"time", occurrence.when}, {"facts", occurrence.facts}};
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// As small as can be: what pipes hold counts against recapd's user, whose pipes hold very little once that is too much (pipe(7)).
Result<UniqueFd> filledPipe(const std::string& text) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failErrno("a pipe for what happened");
    UniqueFd read(ends[0]), write(ends[1]);
    (void)::fcntl(write.get(), F_SETPIPE_SZ, static_cast<int>(text.size()));
    if (::fcntl(write.get(), F_SETFL, O_NONBLOCK) != 0) return failErrno("a pipe for what happened");  // not the other end
    const ssize_t written = ::write(write.get(), text.data(), text.size());
    if (written < 0 && errno != EAGAIN) return failErrno("a pipe for what happened");
    if (written != static_cast<ssize_t>(text.size()))
        return fail(Errc::LimitExceeded, "what happened, for the capsule's stdin, has " + std::to_string(text.size()) +
                                             " bytes, and recapd has no pipe that would hold them (pipe(7), pipe-user-pages-soft)");
    return read;
}

Result<void> giveOccurrence(RunPlan& plan) {
    if (!readsOccurrence(plan.request, plan.tty)) return {};
    auto pipe = filledPipe(occurrenceText(*plan.request.occurrence));
    if (!pipe) return forward(std::move(pipe));
    plan.request.stdio[0] = std::make_shared<UniqueFd>(std::move(*pipe));
    return {};
}

}  // namespace recap
