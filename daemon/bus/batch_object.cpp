// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/batch_object.hpp"

#include <algorithm>

#include "daemon/bus/questions.hpp"
#include "daemon/bus/run_object.hpp"

namespace recap::bus {
namespace {

Error gone(const BatchId& id) { return {Errc::NotFound, "batch " + id + " is not an object any more"}; }

// As of its runs; where there was none, or it is not an object any more, whose the target is by now.
Result<void> checkTenant(const Context& context, const BatchRecord& batch, const BatchRow& row, std::uint32_t uid) {
    const auto& rooms = context.rooms;
    if (!row.run.empty() && rooms.runs.find(row.run) != nullptr) return RunObject::checkTenant(context, row.run, uid);
    if (batch.caller.uid == uid) return {};
    const auto target = rooms.targets.resolve(row.target.text());
    return rooms.tenants.check(uid, target ? (*target)->tenant : std::string(), "target " + row.target.text());
}

Result<void> checkTenants(const Context& context, const BatchId& id, std::uint32_t uid) {
    const BatchRecord* batch = context.rooms.batches.findBatch(id);
    if (batch == nullptr) return tl::unexpected(gone(id));
    if (uid == 0 || !context.rooms.tenants.kept()) return {};
    for (const auto& row : batch->rows)
        if (auto own = checkTenant(context, *batch, row, uid); !own) return own;
    return {};
}

Result<Rows> results(const BatchRecord& batch, std::uint64_t from, std::uint64_t limit) {
    Listing rows;
    const std::uint64_t all = batch.rows.size(), begin = std::min(from, all), end = begin + std::min(limit, all - begin);
    for (std::uint64_t i = begin; i < end; ++i) rows.add(row(batch.rows[i]));
    return std::move(rows).whole();
}

}  // namespace

BatchObject::BatchObject(sdbus::IConnection& bus, Context& context, BatchId id)
    : AdaptorInterfaces(bus, batchPath(id)), context_(context), id_(std::move(id)) {
    registerAdaptor();
}

BatchObject::~BatchObject() { unregisterAdaptor(); }

void BatchObject::announce() { getObject().emitInterfacesAddedSignal({Batch_adaptor::INTERFACE_NAME}); }

void BatchObject::withdraw() { getObject().emitInterfacesRemovedSignal({Batch_adaptor::INTERFACE_NAME}); }

void BatchObject::changed() { getObject().emitPropertiesChangedSignal(Batch_adaptor::INTERFACE_NAME, {"State", "Counts"}); }

const BatchRecord& BatchObject::record() const {
    const BatchRecord* batch = context_.rooms.batches.findBatch(id_);
    if (batch == nullptr) throw toBus(gone(id_));
    return *batch;
}

template <class... Replies>
void BatchObject::ask(const Answer<Replies...>& answer, const char* action, const char* verb, std::vector<std::string> targets,
                      bool interactive, std::function<void()> then) {
    const auto right = [&context = context_, id = id_, capsule = record().capsule, owner = record().caller.uid, action, verb,
                        targets](std::size_t which) {
        Right needed = runRight(context.rooms, capsule, targets[which], verb);
        needed.action = action;
        needed.owner = owner;
        needed.message = "Authentication is required to use a batch of capsule $(capsule), which somebody else started";
        needed.sentence = "batch " + id + " was started by somebody else, and you may not " + verb + " it";
        return needed;
    };
    const auto refused = [answer](std::size_t, const sdbus::Error* refusal) {
        if (refusal != nullptr) answer.refuse(*refusal);
        return refusal == nullptr;
    };
    const Asker asker = Asker::current(getObject(), interactive);
    const auto allowed = [&context = context_, id = id_, answer, then = std::move(then)](std::uint32_t uid) {
        if (auto own = checkTenants(context, id, uid); !own) return answer.refuse(own.error());
        then();
    };
    const auto done = answer.later([&context = context_, asker, answer, allowed] {
        context.authority.identify(asker.busName, answer.later(allowed), [answer](const sdbus::Error& error) { answer.refuse(error); });
    });
    askAll(context_.authority,
           {asker, targets.size(), right, refused, done, [answer](const sdbus::Error& error) { answer.refuse(error); }});
}

// Stopping a batch stops a run on each target that it goes on at, and needs the right to each.
void BatchObject::Stop(sdbus::Result<>&& result, std::uint32_t grace, Values options) {
    begin(std::move(result), [&](const Answer<>& answer) -> Result<void> {
        const auto interactive = interactiveOnly(std::move(options));
        if (!interactive) return tl::unexpected(interactive.error());
        std::vector<std::string> targets;
        for (const auto& row : record().rows)
            if (row.state != RunState::Finished) targets.push_back(row.target.text());
        if (targets.empty()) targets.emplace_back();
        ask(answer, "org.recap1.run", "Stop", std::move(targets), *interactive,
            [&context = context_, id = id_, grace, answer] { context.rooms.batches.stopBatch(id, std::chrono::seconds(grace), answer); });
        return {};
    });
}

void BatchObject::GetResults(sdbus::Result<Rows>&& result, Values values) {
    begin(std::move(result), [&](const Answer<Rows>& answer) -> Result<void> {
        Options options(std::move(values));
        const bool interactive = options.flag("interactive");
        const std::uint64_t from = options.number("from").value_or(0), limit = options.number("limit").value_or(UINT64_MAX);
        if (auto finished = options.finish(); !finished) return finished;
        ask(answer, "org.recap1.read-output", "GetResults", {std::string()}, interactive,
            [&context = context_, id = id_, from, limit, answer] {
                const BatchRecord* batch = context.rooms.batches.findBatch(id);
                if (batch == nullptr) return answer.refuse(gone(id));
                answer(results(*batch, from, limit));
            });
        return {};
    });
}

std::string BatchObject::State() { return std::string(name(record().state)); }
std::map<std::string, std::uint32_t> BatchObject::Counts() { return counts(record()); }

}  // namespace recap::bus
