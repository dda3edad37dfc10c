// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/bus.hpp"

#include <fcntl.h>

#include <cstdlib>

namespace recap::client {

namespace {

constexpr std::string_view kErrorPrefix = "org.recap1.Error.";

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
    {SD_BUS_ERROR_SERVICE_UNKNOWN, Errc::Unavailable, "recapd is not running, and the bus cannot start it (systemctl start recapd)"},
    {SD_BUS_ERROR_NAME_HAS_NO_OWNER, Errc::Unavailable, "recapd is not running, and the bus cannot start it (systemctl start recapd)"},
    {SD_BUS_ERROR_NO_REPLY, Errc::Unavailable, "recapd did not answer: it ended, or took too long"},
    {SD_BUS_ERROR_DISCONNECTED, Errc::Unavailable, "the bus closed the connection"},
    {SD_BUS_ERROR_TIMEOUT, Errc::Timeout, "recapd did not answer in time"},
    {"org.freedesktop.DBus.Error.TimedOut", Errc::Timeout, "recapd did not start in time"},
    {SD_BUS_ERROR_ACCESS_DENIED, Errc::AccessDenied, nullptr},
    {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, Errc::AccessDenied, nullptr},
    {SD_BUS_ERROR_UNKNOWN_METHOD, Errc::NotSupported, nullptr},
    {SD_BUS_ERROR_UNKNOWN_INTERFACE, Errc::NotSupported, nullptr},
    {SD_BUS_ERROR_UNKNOWN_OBJECT, Errc::NotFound, nullptr},
    {SD_BUS_ERROR_INVALID_ARGS, Errc::InvalidArgument, nullptr},
    {SD_BUS_ERROR_INVALID_SIGNATURE, Errc::InvalidArgument, nullptr},
    {SD_BUS_ERROR_LIMITS_EXCEEDED, Errc::LimitExceeded, nullptr},
};

}  // namespace

Error toError(const sd_bus_error& error) {
    const std::string_view which = error.name ? error.name : "";
    const std::string message = error.message ? error.message : std::string(which);
    if (which.starts_with(kErrorPrefix)) return {ownError(which.substr(kErrorPrefix.size())), message};
    for (const auto& meaning : kMeanings)
        if (meaning.name == which) return {meaning.code, meaning.says ? meaning.says : message};
    if (which.starts_with("org.freedesktop.DBus.Error.Spawn.")) return {Errc::Unavailable, "recapd cannot be started: " + message};
    if (const int known = sd_bus_error_get_errno(&error); known == ECONNRESET || known == ENOTCONN || known == EPIPE)
        return {Errc::Unavailable, "the bus closed the connection"};
    return {Errc::Internal, message};
}

Error toError(int r, std::string_view what) {
    const int error = r < 0 ? -r : r;
    if (error == ECONNRESET || error == ENOTCONN || error == EPIPE || error == ESHUTDOWN)
        return {Errc::Unavailable, "the bus closed the connection"};
    if (error == EINVAL) return {Errc::InvalidArgument, std::string(what) + ": an argument is not UTF-8, so the bus cannot carry it"};
    return {error == ETIMEDOUT ? Errc::Timeout : Errc::Io, std::string(what) + ": " + ::strerrordesc_np(error)};
}

Result<BusPtr> openSystemBus() {
    sd_bus* bus = nullptr;
    if (const int r = sd_bus_open_system(&bus); r < 0) {
        const char* address = std::getenv("DBUS_SYSTEM_BUS_ADDRESS");
        return fail(Errc::Unavailable, std::string("cannot reach the system bus at ") +
                                           (address ? address : "/run/dbus/system_bus_socket") + ": " + ::strerrordesc_np(-r));
    }
    return BusPtr(bus);
}

Result<MessagePtr> newCall(sd_bus* bus, const Method& method) {
    sd_bus_message* raw = nullptr;
    if (const int r = sd_bus_message_new_method_call(bus, &raw, kService, method.path, method.interface, method.member); r < 0)
        return tl::unexpected(toError(r, method.member));
    MessagePtr message(raw);
    if (method.interactive) sd_bus_message_set_allow_interactive_authorization(raw, 1);
    return message;
}

Result<MessagePtr> send(sd_bus* bus, const Method& method, MessagePtr call) {
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message* reply = nullptr;
    const int r = sd_bus_call(bus, call.get(), method.timeout, &error, &reply);
    if (r >= 0) return MessagePtr(reply);
    Error failure = sd_bus_error_is_set(&error) ? toError(error) : toError(r, method.member);
    sd_bus_error_free(&error);
    return tl::unexpected(std::move(failure));
}

Result<UniqueFd> takeFd(Result<MessagePtr> reply) {
    if (!reply) return forward(std::move(reply));
    int borrowed = -1;
    if (const int r = sd_bus_message_read_basic(reply->get(), 'h', &borrowed); r < 0) return tl::unexpected(toError(r, "recapd's answer"));
    UniqueFd own(::fcntl(borrowed, F_DUPFD_CLOEXEC, 3));
    if (!own) return failErrno("recapd's descriptor");
    return own;
}

Result<void> takeNothing(Result<MessagePtr> reply) {
    if (!reply) return forward(std::move(reply));
    return {};
}

}  // namespace recap::client
