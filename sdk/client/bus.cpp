// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/bus.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <new>

namespace recap::client {

namespace {

constexpr std::string_view kErrorPrefix = "org.recap1.Error.";
constexpr const char* kNotRunning = "recapd is not running, and the bus cannot start it (systemctl start recapd)";
constexpr const char* kClosed = "the bus closed the connection";
constexpr std::chrono::seconds kLoginTimeout{25};

Errc ownError(std::string_view suffix) {
    for (auto code = static_cast<std::uint32_t>(Errc::InvalidArgument); code <= static_cast<std::uint32_t>(kLastErrc); ++code)
        if (name(static_cast<Errc>(code)) == suffix) return static_cast<Errc>(code);
    return Errc::Internal;
}

struct Meaning {
    std::string_view name;
    Errc code;
    const char* says;  // null: the bus's own message stands alone
};

constexpr Meaning kMeanings[] = {
    {DBUS_ERROR_SERVICE_UNKNOWN, Errc::Unavailable, kNotRunning},
    {DBUS_ERROR_NAME_HAS_NO_OWNER, Errc::Unavailable, kNotRunning},
    {DBUS_ERROR_NO_REPLY, Errc::Unavailable, "recapd did not answer: it ended, or took too long"},
    {DBUS_ERROR_DISCONNECTED, Errc::Unavailable, kClosed},
    {DBUS_ERROR_TIMEOUT, Errc::Timeout, "recapd did not answer in time"},
    {DBUS_ERROR_TIMED_OUT, Errc::Timeout, "recapd did not start in time"},
    {DBUS_ERROR_ACCESS_DENIED, Errc::AccessDenied, nullptr},
    {DBUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, Errc::AccessDenied, nullptr},
    {DBUS_ERROR_UNKNOWN_METHOD, Errc::NotSupported, nullptr},
    {DBUS_ERROR_UNKNOWN_INTERFACE, Errc::NotSupported, nullptr},
    {DBUS_ERROR_UNKNOWN_OBJECT, Errc::NotFound, nullptr},
    {DBUS_ERROR_INVALID_ARGS, Errc::InvalidArgument, nullptr},
    {DBUS_ERROR_INVALID_SIGNATURE, Errc::InvalidArgument, nullptr},
    {DBUS_ERROR_LIMITS_EXCEEDED, Errc::LimitExceeded, nullptr},
};

struct DBusFailure : DBusError {
    DBusFailure() { dbus_error_init(this); }
    ~DBusFailure() { dbus_error_free(this); }
    DBusFailure(const DBusFailure&) = delete;
    DBusFailure& operator=(const DBusFailure&) = delete;
};

struct UnrefPendingCall {
    void operator()(DBusPendingCall* call) const { dbus_pending_call_unref(call); }
};

std::string systemBus() {
    const char* named = ::secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
    return named && *named ? named : "unix:path=/run/dbus/system_bus_socket";
}

tl::unexpected<Error> unreachable(const std::string& address, std::string_view why) {
    if (why.starts_with("Failed to connect to socket ")) why.remove_prefix(why.rfind(": ") + 2);  // the address again, and why
    return fail(Errc::Unavailable, "cannot reach the system bus at " + address + ": " + std::string(why));
}

// Reads and writes until `done` says so, the connection is closed, or the bus has been silent for too long.
bool exchange(DBusConnection* connection, const auto& done) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + kLoginTimeout;
    while (!done()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0 || !dbus_connection_read_write(connection, static_cast<int>(left.count()))) return done();
    }
    return true;
}

MessagePtr hello() { return MessagePtr(dbus_message_new_method_call(DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "Hello")); }

}  // namespace

Error toError(DBusMessage* error) {
    const char* given = dbus_message_get_error_name(error);
    const std::string_view which = given ? given : "";
    std::string message(which);
    DBusMessageIter at;
    dbus_message_iter_init(error, &at);
    read(&at, message);
    if (which.starts_with(kErrorPrefix)) return {ownError(which.substr(kErrorPrefix.size())), message};
    for (const auto& meaning : kMeanings)
        if (meaning.name == which) return {meaning.code, meaning.says ? meaning.says : message};
    if (which.starts_with("org.freedesktop.DBus.Error.Spawn.")) return {Errc::Unavailable, "recapd cannot be started: " + message};
    return {Errc::Internal, message};
}

Result<MessagePtr> emptyCall(const Method& method) {
    if (!dbus_validate_path(method.path, nullptr))
        return fail(Errc::InvalidArgument, std::string(method.member) + ": '" + method.path + "' is no object path");
    MessagePtr message(dbus_message_new_method_call(kService, method.path, method.interface, method.member));
    if (!message) throw std::bad_alloc();
    if (method.interactive) dbus_message_set_allow_interactive_authorization(message.get(), true);
    return message;
}

Result<Bus> Bus::open() {
    dbus_threads_init_default();                // each Client has its thread, and libdbus keeps things that all of them use
    dbus_connection_set_change_sigpipe(false);  // the process's own business; libdbus sends with MSG_NOSIGNAL
    const std::string address = systemBus();
    DBusFailure failure;
    ConnectionPtr connection(dbus_connection_open_private(address.c_str(), &failure));
    if (!connection) return unreachable(address, failure.message ? failure.message : "out of memory");
    dbus_connection_set_exit_on_disconnect(connection.get(), false);
    if (!exchange(connection.get(), [&] { return dbus_connection_get_is_authenticated(connection.get()) != 0; }))
        return unreachable(address, dbus_connection_get_is_connected(connection.get())
                                        ? "it accepts connections, and says nothing"
                                        : "it does not let uid " + std::to_string(::geteuid()) + " in");
    Bus bus(std::move(connection));
    auto serial = bus.send(hello());
    if (!serial) return forward(std::move(serial));
    bus.hello_ = *serial;
    return bus;
}

Result<void> Bus::mayLeave(DBusMessage* message) {
    if (!message) throw std::bad_alloc();
    if (!connected()) return tl::unexpected(closed());
    if (!dbus_message_contains_unix_fds(message)) return {};
    if (!dbus_connection_can_send_type(connection_.get(), DBUS_TYPE_UNIX_FD))
        return fail(Errc::NotSupported, "the bus passes no descriptors: " + systemBus());
    return awaitWelcome();
}

Result<void> Bus::awaitWelcome() {
    const auto answered = [this] {
        for (auto message = pop(); message; message = pop()) overtaken_.push_back(std::move(message));
        return welcomed_ || refused_;
    };
    if (welcomed_ || (exchange(connection_.get(), answered) && welcomed_)) return {};
    if (connected() && !refused_) return fail(Errc::Timeout, "the bus does not answer: " + systemBus());
    return tl::unexpected(closed());
}

Result<std::uint32_t> Bus::send(MessagePtr message) {
    if (auto may = mayLeave(message.get()); !may) return forward(std::move(may));
    dbus_uint32_t serial = 0;
    if (!dbus_connection_send(connection_.get(), message.get(), &serial)) throw std::bad_alloc();
    return serial;
}

Result<MessagePtr> Bus::ask(MessagePtr message, int timeout) {
    if (auto may = mayLeave(message.get()); !may) return forward(std::move(may));
    DBusPendingCall* raw = nullptr;
    if (!dbus_connection_send_with_reply(connection_.get(), message.get(), &raw, timeout)) throw std::bad_alloc();
    if (!raw) return tl::unexpected(closed());
    const std::unique_ptr<DBusPendingCall, UnrefPendingCall> pending(raw);
    dbus_pending_call_block(raw);
    MessagePtr reply(dbus_pending_call_steal_reply(raw));
    if (!reply) throw std::bad_alloc();
    if (dbus_message_get_type(reply.get()) != DBUS_MESSAGE_TYPE_ERROR) return reply;
    if (dbus_message_get_sender(reply.get())) return tl::unexpected(toError(reply.get()));
    // libdbus's own: without an answer.
    if (!connected()) return tl::unexpected(closed());
    return fail(Errc::Timeout, std::string(dbus_message_get_member(message.get())) + ": recapd did not answer in time");
}

MessagePtr Bus::pop() {
    for (;;) {
        MessagePtr message(dbus_connection_pop_message(connection_.get()));
        if (!message || dbus_message_get_reply_serial(message.get()) != hello_) return message;
        welcomed_ = dbus_message_get_type(message.get()) != DBUS_MESSAGE_TYPE_ERROR;
        if (!welcomed_) refused_ = toError(message.get()).in("the bus refuses this connection");
    }
}

MessagePtr Bus::next() {
    if (!overtaken_.empty()) {
        MessagePtr message = std::move(overtaken_.front());
        overtaken_.pop_front();
        return message;
    }
    if (auto message = pop()) return message;
    dbus_connection_read_write(connection_.get(), 0);
    return pop();
}

int Bus::fd() const {
    int fd = -1;
    return dbus_connection_get_unix_fd(connection_.get(), &fd) ? fd : -1;
}

bool Bus::hasMessage() const {
    return !overtaken_.empty() || dbus_connection_get_dispatch_status(connection_.get()) == DBUS_DISPATCH_DATA_REMAINS;
}

Error Bus::closed() {
    while (auto message = pop()) overtaken_.push_back(std::move(message));
    return refused_ ? *refused_ : Error{Errc::Unavailable, kClosed};
}

tl::unexpected<Error> unexpectedTypes(std::string_view what, DBusMessage* message) {
    return fail(Errc::Io, std::string(what) + " has the types '" + dbus_message_get_signature(message) + "', which are not org.recap1's");
}

Result<UniqueFd> takeFd(Result<MessagePtr> reply) {
    if (!reply) return forward(std::move(reply));
    DBusMessageIter at;
    dbus_message_iter_init(reply->get(), &at);
    if (dbus_message_iter_get_arg_type(&at) != DBUS_TYPE_UNIX_FD) return unexpectedTypes("recapd's answer", reply->get());
    int own = -1;
    dbus_message_iter_get_basic(&at, &own);  // a duplicate
    if (own < 0) return failErrno("recapd's descriptor");
    return UniqueFd(own);
}

Result<void> takeNothing(Result<MessagePtr> reply) {
    if (!reply) return forward(std::move(reply));
    return {};
}

}  // namespace recap::client
