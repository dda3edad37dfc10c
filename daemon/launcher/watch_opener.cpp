// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/watch_opener.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/tasks.hpp"
#include "daemon/launcher/transport.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kOpenUsec = 5'000'000;  // then the child is killed,
constexpr std::uint64_t kDeathUsec = 500'000;   // and after that it hangs
constexpr std::size_t kMostAtOnce = 16;         // of children that do not hang
constexpr std::size_t kMostHanging = 256;

tl::unexpected<Error> late(const WatchRequest& what) {
    const std::string within = " within " + std::to_string(kOpenUsec / 1'000'000) + " s";
    if (what.kind != WatchKind::File) return fail(Errc::Timeout, "a watch of target " + what.target + " was not opened" + within);
    return fail(Errc::Timeout, what.path + " of target " + what.target + " was not found" + within +
                                   ": the way there is by a file server that does not answer");
}

// In the child: the descriptor, or why there is none, to the supervisor.
int openInto(int socket, const WatchOrder& order) {
    ::prctl(PR_SET_NAME, "recap-watch", 0, 0, 0);
    const auto opened = openWatch(order);
    const std::string bytes = opened ? encodeReply(Verb::Watch, 0, opened->what) : encodeFailure(Verb::Watch, 0, opened.error());
    const int fds[] = {opened ? opened->fd.get() : -1};
    return sendMessage(socket, bytes, opened ? std::span<const int>(fds) : std::span<const int>()) ? 0 : 1;
}

Result<OpenedWatch> received(int socket) {
    auto message = receiveMessage(socket);
    if (!message) return fail(Errc::Internal, "the child that opens a watch ended without an answer");
    auto what = decodeReply<Watched>(message->bytes);
    if (!what) return forward(std::move(what));
    if (message->fds.size() != 1) return fail(Errc::Internal, "the child that opens a watch has sent no descriptor");
    return OpenedWatch{*what, std::move(message->fds[0])};
}

}  // namespace

struct WatchOpener::Child {
    WatchJob job;
    UniqueFd socket;
    Loop::TimerId patience = 0;
    bool hangs = false;
};

bool WatchOpener::hangs(const WatchedTarget& target) const {
    const auto child = children_.find(target);
    return child != children_.end() && child->second->hangs;
}

void WatchOpener::open(WatchJob job) {
    if (job.what.kind == WatchKind::File && hanging_ >= kMostHanging)
        return job.done(fail(Errc::LimitExceeded, "lookups in " + std::to_string(hanging_) + " targets hang, and no more are begun"));
    waiting_.push_back(std::move(job));
    next();
}

void WatchOpener::forget(std::uint64_t client) {
    std::erase_if(waiting_, [client](const WatchJob& job) { return job.client == client; });
}

// In the order of their coming, but nobody waits for another target's turn.
void WatchOpener::next() {
    const auto isDue = [this](const WatchJob& job) {
        return hangs(job.target) || (!children_.contains(job.target) && children_.size() - hanging_ < kMostAtOnce);
    };
    for (;;) {  // from the first each time: an answer may make that somebody goes, and what he asked for with him
        const auto due = std::ranges::find_if(waiting_, isDue);
        if (due == waiting_.end()) return;
        WatchJob job = std::move(*due);
        waiting_.erase(due);
        if (hangs(job.target))
            job.done(fail(Errc::Unavailable, "an earlier lookup in target " + job.what.target + " still hangs"));
        else
            start(std::move(job));
    }
}

void WatchOpener::start(WatchJob job) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return job.done(failErrno("socketpair"));
    const auto child = std::make_shared<Child>(Child{std::move(job), UniqueFd(ends[0])});
    const UniqueFd theirs(ends[1]);
    const WatchJob& what = child->job;
    const WatchOrder order{procfs_, places_, what.what, what.pidfd.get(), what.root, what.owner};
    auto started = runTask(
        loop_, kOpenUsec, {theirs.get(), what.pidfd.get(), procfs_.fd(), places_.unified.get(), places_.memory.get()},
        [&] { return openInto(theirs.get(), order); }, [this, child](const TaskResult& result) { ended(child, result.status == SIGKILL); },
        0);
    if (!started) return answer(*child, forward(std::move(started)));
    children_[what.target] = child;
    child->patience = loop_.at(monotonicUsec() + kOpenUsec + kDeathUsec, [this, child] { overdue(child); });
}

void WatchOpener::answer(Child& child, Result<OpenedWatch> opened) {
    if (const auto done = std::exchange(child.job.done, nullptr)) done(std::move(opened));
}

// It was killed, and did not die.
void WatchOpener::overdue(const std::shared_ptr<Child>& child) {
    child->hangs = true;
    ++hanging_;
    answer(*child, late(child->job.what));
    next();
}

void WatchOpener::ended(const std::shared_ptr<Child>& child, bool killed) {
    loop_.cancel(child->patience);
    if (child->hangs) --hanging_;
    children_.erase(child->job.target);
    answer(*child, killed ? late(child->job.what) : received(child->socket.get()));
    next();
}

}  // namespace recap::launcher
