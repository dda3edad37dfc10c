// SPDX-License-Identifier: Apache-2.0
// A batch from its acceptance to its last target: its signals come only to who asked for them, and what was before is asked for.
#include <algorithm>

#include "sdk/client/private.hpp"

namespace recap::client {

namespace {

constexpr std::uint32_t kRowsAtATime = 1000;

bool isFinished(const Dict& row) { return row.text("state") == "finished"; }

}  // namespace

const std::string& Batch::path() const { return state_->path; }
std::string Batch::id() const { return state_->path.substr(state_->path.rfind('/') + 1); }
const Rows& Batch::results() const { return state_->results; }
const Dict& Batch::counts() const { return state_->counts; }
bool Batch::ended() const { return state_->settled(); }
const Error* Batch::failure() const { return state_->failure ? &*state_->failure : nullptr; }

Rows Batch::takeFinished() {
    Rows rows;
    for (const std::size_t which : std::exchange(state_->fresh, {})) rows.push_back(state_->results[which]);
    return rows;
}

void Batch::State::append(Rows rows) {
    for (auto& row : rows) {
        byTarget.emplace(row.text("target"), results.size());
        if (isFinished(row)) {
            fresh.push_back(results.size());
            ++finished;
        }
        results.push_back(std::move(row));
    }
}

void Batch::State::put(const Dict& row) {
    const auto known = byTarget.find(row.text("target"));
    if (known == byTarget.end() || !isFinished(row) || isFinished(results[known->second])) return;
    results[known->second] = row;
    fresh.push_back(known->second);
    ++finished;
}

Result<Batch> Client::follow(const std::string& batchPath) {
    // First: what ends between the two is in both.
    if (auto watching = d_->watchOwner(); !watching) return forward(std::move(watching));
    const std::string rule = "type='signal',sender='org.recap1',path='" + batchPath + "'";
    if (!dbus_validate_path(batchPath.c_str(), nullptr)) return fail(Errc::InvalidArgument, "'" + batchPath + "' is no object path");
    if (auto subscribed = d_->subscribe(rule); !subscribed) return forward(std::move(subscribed));
    auto state = std::make_shared<Batch::State>();
    state->path = batchPath;
    if (auto fetched = d_->fetch(*state); !fetched) return forward(std::move(fetched));
    if (!state->settled()) d_->batches.push_back(state);
    return Batch(std::move(state));
}

Result<void> Client::Private::fetch(Batch::State& batch) {
    for (;;) {
        Dict options = asking();
        options.set("from", static_cast<std::uint32_t>(batch.results.size()));
        options.set("limit", kRowsAtATime);
        auto reply = bus.call({batch.path.c_str(), kBatch, "GetResults", kAskTimeout, interactive}, options);
        if (!reply) return forward(std::move(reply));
        if (const char* sender = dbus_message_get_sender(reply->get())) owner = sender;
        auto rows = take<Rows>(std::move(reply));
        if (!rows) return forward(std::move(rows));
        const std::size_t count = rows->size();
        batch.append(std::move(*rows));
        if (count < kRowsAtATime) return {};
    }
}

void Client::Private::ofBatch(DBusMessage* signal) {
    const char* path = dbus_message_get_path(signal);
    const char* sender = dbus_message_get_sender(signal);
    const auto batch = std::ranges::find_if(batches, [&](const auto& state) { return path != nullptr && state->path == path; });
    if (batch == batches.end() || sender == nullptr || owner != sender) return;
    std::string first;
    Dict values;
    DBusMessageIter at;
    dbus_message_iter_init(signal, &at);
    if (!read(&at, first) || !read(&at, values)) return;
    if (dbus_message_is_signal(signal, kBatch, "TargetFinished")) (*batch)->put(values);
    if (dbus_message_is_signal(signal, DBUS_INTERFACE_PROPERTIES, "PropertiesChanged") && values.has("Counts"))
        (*batch)->counts = values.dict("Counts");
    if ((*batch)->settled()) batches.erase(batch);
}

void Client::stop(const Batch& batch, std::chrono::seconds grace) {
    const auto seconds = static_cast<std::uint32_t>(grace.count());
    d_->tell(kBatch, batch.path(), "Stop", &seconds);
}

}  // namespace recap::client
