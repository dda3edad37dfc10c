// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/parking.hpp"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/worker.hpp"

namespace recap::launcher {

namespace {
constexpr std::size_t kMost = 4;
constexpr std::uint64_t kQuietUsec = 50000;
constexpr std::uint64_t kRetryUsec = 60000000;  // after one could not park: a real-time launcher never can
}  // namespace

Parking::~Parking() {
    while (!parked_.empty()) {
        const std::string name = parked_.front().name;
        end(parked_.begin());
        cgroups_.removeLate(name);
    }
}

void Parking::busy() { notBefore_ = std::max(notBefore_, monotonicUsec() + kQuietUsec); }

void Parking::fillLater() {
    if (filling_ || stopped_ || !cgroups_.parks() || parked_.size() >= kMost) return;
    filling_ = true;
    loop_.at(std::max(notBefore_, monotonicUsec()), [this] { fill(); });
}

void Parking::fill() {
    filling_ = false;
    if (stopped_) return;
    while (notBefore_ <= monotonicUsec() && parked_.size() < kMost)
        if (!park()) notBefore_ = monotonicUsec() + kRetryUsec;
    fillLater();
}

Result<void> Parking::park() {
    const std::string name = "parked-" + std::to_string(++number_);
    auto procs = cgroups_.makeParking(name);
    if (!procs) return forward(std::move(procs));
    const Where parked = parked_.insert(parked_.end(), Parked{name, {}});
    auto started = startWorker(parked->worker, prepared_, store_, std::move(*procs));
    if (started && !loop_.add(parked->worker.socket.get(), EPOLLIN, [this, parked](std::uint32_t) { onReady(parked); }))
        started = failErrno("watch a parked worker");
    if (started) return started;
    end(parked);
    cgroups_.removeLate(name);
    return started;
}

std::optional<std::string> Parking::take() {
    for (auto& one : parked_)
        if (std::exchange(one.ready, false)) return one.name;
    return std::nullopt;
}

Parking::Where Parking::find(const std::string& name) { return std::ranges::find(parked_, name, &Parked::name); }

void Parking::expect(const Plan& plan) {
    Plan alike;
    alike.view = plan.view;
    alike.processes = plan.processes;
    alike.artifacts = plan.artifacts;
    alike.limits = plan.limits;
    alike.layers = plan.layers;
    expected_ = encode(Verb::Start, 0, alike);
}

void Parking::spawn(const std::string& name, SpawnRequest request) {
    const Where parked = find(name);
    int ends[2] = {-1, -1};
    const bool piped = ::pipe2(ends, O_CLOEXEC) == 0;
    parked->alone.reset(ends[1]);
    request.fds.emplace(request.fds.begin() + kV1Fds, ends[0]);
    if (piped && give(loop_, parked->worker, request, [this, parked] { onDeath(parked, ETIMEDOUT); })) return;
    leave(name);
    loop_.at(monotonicUsec(), [this, runId = std::move(request.runId)] { done_({runId, "spawn worker", EPIPE, {}}); });
}

void Parking::leave(const std::string& name) {
    end(find(name));
    fillLater();
}

// What it was at, if anything, and no answer had come of.
SpawnResult Parking::end(Where parked, int error) {
    for (const UniqueFd* watched : {&parked->worker.socket, &parked->ending})
        if (*watched) loop_.remove(watched->get());
    SpawnResult lost = bury(loop_, parked->worker, prepared_, error, std::move(parked->alone));
    parked_.erase(parked);
    return lost;
}

// First it has parked; then it has answered, or died.
void Parking::onReady(Where parked) {
    auto result = answerOf(loop_, parked->worker);
    if (result && result->runId.empty()) {
        parked->ready = true;
        if (!expected_.empty()) static_cast<void>(give(loop_, parked->worker, {{}, expected_, {}}, {}));
        return;
    }
    if (result) {
        endLater(parked);
        return done_(std::move(*result));
    }
    onDeath(parked, ECHILD);
}

void Parking::onDeath(Where parked, int error) {
    const std::string name = parked->name;
    const bool waiting = parked->worker.runId.empty();  // for a run: its cgroups are still its own
    SpawnResult lost = end(parked, error);
    if (waiting) {
        cgroups_.removeLate(name);
        notBefore_ = monotonicUsec() + kRetryUsec;
    }
    fillLater();
    if (!lost.runId.empty()) done_(std::move(lost));
}

// It ends by itself, and nobody but its run waits for that.
void Parking::endLater(Where parked) {
    loop_.remove(parked->worker.socket.get());
    parked->worker.socket.reset();
    parked->ending.reset(kernel::openPidfd(parked->worker.pid));
    const auto ended = [this, parked](std::uint32_t) {
        end(parked);
        fillLater();
    };
    if (!loop_.add(parked->ending.get(), EPOLLIN, ended)) ended(0);
}

}  // namespace recap::launcher
