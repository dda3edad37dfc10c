// SPDX-License-Identifier: Apache-2.0
// The one connection of a Client, over libdbus: calls to recapd with arguments as values, and its errors as ours. libdbus
// and neither sd-bus nor the generated proxies, because it can be linked statically: loading libsystemd and what it needs
// took a `recapctl run` more time than all that it does itself.
#pragma once

#include <dbus/dbus.h>

#include <cerrno>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/client/check.hpp"
#include "sdk/client/marshal.hpp"

namespace recap::client {

inline constexpr const char* kService = "org.recap1";
inline constexpr const char* kRoot = "/org/recap1";
inline constexpr const char* kManager = "org.recap1.Manager";
inline constexpr const char* kRun = "org.recap1.Run";
inline constexpr const char* kBatch = "org.recap1.Batch";

inline constexpr int kListTimeout = 25'000;               // ms
inline constexpr int kAskTimeout = 300'000;               // polkit may be asking a person
inline constexpr int kNoTimeout = DBUS_TIMEOUT_INFINITE;  // an import takes what it takes

struct UnrefMessage {
    void operator()(DBusMessage* message) const { dbus_message_unref(message); }
};
using MessagePtr = std::unique_ptr<DBusMessage, UnrefMessage>;

struct CloseConnection {
    void operator()(DBusConnection* connection) const {
        dbus_connection_flush(connection);  // a Stop that nobody waits for still leaves
        dbus_connection_close(connection);
        dbus_connection_unref(connection);
    }
};
using ConnectionPtr = std::unique_ptr<DBusConnection, CloseConnection>;

struct Method {
    const char* path;
    const char* interface;
    const char* member;
    int timeout = kListTimeout;
    bool interactive = false;
};

// What a D-Bus error means to a caller of ours: org.recap1.Error.X is Errc::X, the bus's own become the nearest.
Error toError(DBusMessage* error);

// Refuses an object path that is none: libdbus would end the process.
Result<MessagePtr> emptyCall(const Method& method);

template <class... Args>
Result<MessagePtr> newCall(const Method& method, const Args&... args) {
    std::size_t size = 0;
    Result<void> fine;
    (void)((fine = check(args, size)) && ...);
    if (!fine) return forward(std::move(fine));
    auto message = emptyCall(method);
    if (!message) return message;
    DBusMessageIter at;
    dbus_message_iter_init_append(message->get(), &at);
    errno = ENOMEM;
    if ((append(&at, args) && ...)) return message;
    return failErrno(std::string(method.member) + ": what goes with the call");
}

class Bus {
public:
    // The system bus, or what DBUS_SYSTEM_BUS_ADDRESS names. Waits until the bus knows who this is, but not for its answer to
    // Hello: what is sent first leaves together with that.
    static Result<Bus> open();

    // Waits for the answer; others that come meanwhile are kept for next().
    template <class... Args>
    Result<MessagePtr> call(const Method& method, const Args&... args) {
        auto message = newCall(method, args...);
        return message ? ask(std::move(*message), method.timeout) : std::move(message);
    }
    // Writes what can be written at once, and keeps the rest; the serial that the answer will carry. A message with descriptors
    // first waits for the answer to Hello.
    Result<std::uint32_t> send(MessagePtr message);
    // The oldest message that has come; null: none. Reads and writes what can be without waiting.
    MessagePtr next();

    int fd() const;
    bool connected() const { return dbus_connection_get_is_connected(connection_.get()); }
    bool hasUnsent() const { return dbus_connection_has_messages_to_send(connection_.get()); }
    bool hasMessage() const;  // that next() would give without reading
    Error closed();           // why the connection is no more, as far as the bus has said it

private:
    explicit Bus(ConnectionPtr connection) : connection_(std::move(connection)) {}
    Result<MessagePtr> ask(MessagePtr message, int timeout);
    Result<void> mayLeave(DBusMessage* message);
    // dbus-daemon reads what follows the login with read(2), as far as it has come by then; descriptors would be lost.
    Result<void> awaitWelcome();
    MessagePtr pop();

    ConnectionPtr connection_;
    std::uint32_t hello_ = 0;  // the serial of Hello; the answer is one of:
    bool welcomed_ = false;
    std::optional<Error> refused_;
    std::deque<MessagePtr> overtaken_;  // read in search of that answer
};

// `what` is not of the types that org.recap1 gives it.
tl::unexpected<Error> unexpectedTypes(std::string_view what, DBusMessage* message);

// One out argument of a reply.
template <class T>
Result<T> take(Result<MessagePtr> reply) {
    if (!reply) return forward(std::move(reply));
    T value{};
    DBusMessageIter at;
    dbus_message_iter_init(reply->get(), &at);
    if (!read(&at, value)) return unexpectedTypes("recapd's answer", reply->get());
    return value;
}
Result<UniqueFd> takeFd(Result<MessagePtr> reply);
Result<void> takeNothing(Result<MessagePtr> reply);

}  // namespace recap::client
