// SPDX-License-Identifier: Apache-2.0
// What is asked of a run's terminal and streams: the launcher has them, and answers from when the run is handed over to it.
#include "daemon/engine/engine.hpp"

namespace recap {
namespace {

constexpr std::size_t kMostWaiting = 16;  // for one run to be handed over

}  // namespace

void Engine::whenHandedOver(const RunId& id, std::function<void(Result<void>)> then) {
    Run* run = known(id);
    if (run == nullptr) return then(fail(Errc::NotFound, "no run '" + id + "' is under way"));
    if (run->concluded) return then(fail(Errc::NotFound, "run " + id + " has ended; what it said is in its output"));
    if (run->record.state != RunState::Pending) return then({});
    if (run->onceHandedOver.size() >= kMostWaiting) return then(fail(Errc::Busy, "run " + id + " has not been started yet"));
    run->onceHandedOver.push_back([this, id, then = std::move(then)] { whenHandedOver(id, then); });
}

void Engine::attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) {
    whenHandedOver(id, [this, id, options, reply = std::move(reply)](const Result<void>& ready) {
        if (!ready) return reply(tl::unexpected(ready.error()));
        parts_.launcher.attach(id, options, reply);
    });
}

void Engine::resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) {
    whenHandedOver(id, [this, id, rows, columns, reply = std::move(reply)](const Result<void>& ready) {
        if (!ready) return reply(ready);
        parts_.launcher.resize(id, rows, columns, reply);
    });
}

Result<void> Engine::detach(const RunId& id) {
    Run* run = known(id);
    if (run == nullptr || run->concluded) return fail(Errc::NotFound, "no run '" + id + "' is under way");
    underWay_.unbind(run->record);
    run->record.request.lifetime = Lifetime::Detached;
    parts_.ledger.intend(run->record);  // or the next recapd would end it
    return {};
}

}  // namespace recap
