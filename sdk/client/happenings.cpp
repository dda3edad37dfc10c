// SPDX-License-Identifier: Apache-2.0
// What recapd tells everybody, whoever asked for it. The bus delivers what org.recap1's owner says by a rule with that name; that it is
// the owner's is looked at again here, where what is sent to one connection alone passes no rule.
#include <utility>

#include "sdk/client/private.hpp"

namespace recap::client {

namespace {

constexpr const char* kRule = "type='signal',sender='org.recap1',path='/org/recap1'";
constexpr const char* kObjectManager = "org.freedesktop.DBus.ObjectManager";
constexpr std::string_view kRunPath = "/org/recap1/run/";
constexpr std::string_view kBatchPath = "/org/recap1/batch/";

std::string idIn(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// A new object: what it is, and those of its properties that a signal about it later has too.
std::optional<Happening> added(const std::string& path, const Dict& interfaces) {
    if (path.starts_with(kRunPath)) {
        const Dict run = interfaces.dict(kRun);
        return Happening{"run-submitted", {{"id", idIn(path)}, {"capsule", run.text("Capsule")}, {"target", run.text("Target")}}};
    }
    if (path.starts_with(kBatchPath))
        return Happening{"batch-started", {{"id", idIn(path)}, {"counts", interfaces.dict(kBatch).dict("Counts")}}};
    return {};
}

Dict with(Dict details, std::string key, Value value) {
    details.set(std::move(key), std::move(value));
    return details;
}

// Nothing: it is none of those, or not of the types that they have.
std::optional<Happening> heard(DBusMessage* signal) {
    const auto is = [signal](const char* interface, const char* member) { return dbus_message_is_signal(signal, interface, member) != 0; };
    std::string subject, outcome;
    std::int32_t code = 0;
    Dict details;
    DBusMessageIter at;
    dbus_message_iter_init(signal, &at);
    if (!read(&at, subject)) return {};
    if (is(kManager, "RunFinished")) {
        if (!read(&at, outcome) || !read(&at, code) || !read(&at, details)) return {};
        return Happening{"run-finished", with(with(std::move(details), "outcome", outcome), "exit-code", code)};
    }
    if (!read(&at, details)) return {};
    if (is(kManager, "RunStarted")) return Happening{"run-started", std::move(details)};
    if (is(kManager, "TargetAdded")) return Happening{"target-added", with(std::move(details), "target", subject)};
    if (is(kManager, "TargetRemoved")) return Happening{"target-removed", with(std::move(details), "target", subject)};
    if (is(kManager, "BatchFinished")) return Happening{"batch-finished", {{"id", idIn(subject)}, {"counts", details}}};
    return is(kObjectManager, "InterfacesAdded") ? added(subject, details) : std::nullopt;
}

}  // namespace

Result<void> Client::listen() {
    if (d_->listening) return {};
    if (auto subscribed = d_->subscribe(kRule); !subscribed) return subscribed;
    if (auto watching = d_->watchOwner(); !watching) return watching;
    d_->listening = true;
    // Any answer of recapd's says who it is.
    auto reply = d_->bus.call({kRoot, DBUS_INTERFACE_PROPERTIES, "Get"}, std::string(kManager), std::string("ApiVersion"));
    if (!reply) return forward(std::move(reply));
    if (const char* sender = dbus_message_get_sender(reply->get())) d_->owner = sender;
    return {};
}

std::vector<Happening> Client::takeHappenings() { return std::exchange(d_->happenings, {}); }

void Client::Private::keep(DBusMessage* signal) {
    const char* sender = dbus_message_get_sender(signal);
    if (sender == nullptr || owner != sender) return;
    if (auto happening = heard(signal)) happenings.push_back(std::move(*happening));
}

void Client::Private::keepOwner(const std::string& now) {
    if (now == owner) return;  // it was started by what listen() asked it
    happenings.push_back({now.empty() ? "recapd-gone" : "recapd-back", {}});
    if (!now.empty()) owner = now;
}

}  // namespace recap::client
