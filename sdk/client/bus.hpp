// SPDX-License-Identifier: Apache-2.0
// The one connection of a Client, over sd-bus: calls to recapd with arguments as values, and its errors as ours. sd-bus
// and not the generated proxies, because loading libsdbus-c++ with a shared libstdc++ costs a `recapctl run` more than
// half a millisecond before main().
#pragma once

#include <systemd/sd-bus.h>

#include <memory>
#include <string>
#include <utility>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/client/marshal.hpp"

namespace recap::client {

inline constexpr const char* kService = "org.recap1";
inline constexpr const char* kRoot = "/org/recap1";
inline constexpr const char* kManager = "org.recap1.Manager";
inline constexpr const char* kRun = "org.recap1.Run";

inline constexpr std::uint64_t kListTimeout = 25'000'000;  // µs
inline constexpr std::uint64_t kAskTimeout = 300'000'000;  // polkit may be asking a person
inline constexpr std::uint64_t kNoTimeout = UINT64_MAX;    // an import takes what it takes

struct UnrefMessage {
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using MessagePtr = std::unique_ptr<sd_bus_message, UnrefMessage>;

struct CloseBus {
    void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
using BusPtr = std::unique_ptr<sd_bus, CloseBus>;

// What a D-Bus error means to a caller of ours: org.recap1.Error.X is Errc::X, the bus's own become the nearest.
Error toError(const sd_bus_error& error);
// For a negative errno of sd-bus itself.
Error toError(int r, std::string_view what);

Result<BusPtr> openSystemBus();

struct Method {
    const char* path;
    const char* interface;
    const char* member;
    std::uint64_t timeout = kListTimeout;
    bool interactive = false;
};

Result<MessagePtr> newCall(sd_bus* bus, const Method& method);
Result<MessagePtr> send(sd_bus* bus, const Method& method, MessagePtr call);

template <class... Args>
Result<MessagePtr> call(sd_bus* bus, const Method& method, const Args&... args) {
    auto message = newCall(bus, method);
    if (!message) return message;
    int r = 0;
    ((r = r < 0 ? r : append(message->get(), args)), ...);
    if (r < 0) return tl::unexpected(toError(r, method.member));
    return send(bus, method, std::move(*message));
}

// One out argument of a reply.
template <class T>
Result<T> take(Result<MessagePtr> reply) {
    if (!reply) return forward(std::move(reply));
    T value{};
    if (const int r = read(reply->get(), value); r < 0) return tl::unexpected(toError(r, "recapd's answer"));
    return value;
}
Result<UniqueFd> takeFd(Result<MessagePtr> reply);
Result<void> takeNothing(Result<MessagePtr> reply);

}  // namespace recap::client
