// SPDX-License-Identifier: Apache-2.0
// Errors are values. Inside the house a function that can fail returns Result<T>; at the bus an Errc becomes the
// D-Bus error org.recap1.Error.<its name>, at one door (daemon/bus). Usable without exceptions (recap-launcher).
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace recap {

// The classes of failure that a caller may want to tell apart. The numbers travel in the launcher's protocol:
// append only.
enum class Errc : std::uint32_t {
    None = 0,
    InvalidArgument,  // the request itself is wrong: an unknown option, a bad value
    NotFound,         // no such capsule, target, image, run, artifact
    Ambiguous,        // a bare name that several things have
    AlreadyExists,
    AccessDenied,  // the caller may not (polkit, bus credentials)
    Denied,        // nobody may here: ceiling, policy, tenant
    NotAdmitted,   // the image is imported, but root has not admitted it
    NotSupported,  // declared, but not by this version, backend or kernel
    Unavailable,   // launcher, plugin host or engine is away; trying again may help
    Busy,
    LimitExceeded,  // a quota, a size cap, a queue
    TargetGone,     // the target ended or is no longer what it was
    Timeout,
    Io,
    Internal,
    NoCommand,      // the image has no such command: a shell's 127
    NotExecutable,  // it has, but it is no program that can be run: a shell's 126
};
inline constexpr Errc kLastErrc = Errc::NotExecutable;

// "InvalidArgument" for Errc::InvalidArgument: the last part of the D-Bus error name, and what --json prints.
constexpr std::string_view name(Errc code) {
    constexpr std::string_view names[] = {"None",       "InvalidArgument", "NotFound",     "Ambiguous",   "AlreadyExists", "AccessDenied",
                                          "Denied",     "NotAdmitted",     "NotSupported", "Unavailable", "Busy",          "LimitExceeded",
                                          "TargetGone", "Timeout",         "Io",           "Internal",    "NoCommand",     "NotExecutable"};
    const auto index = static_cast<std::size_t>(code);
    return index < std::size(names) ? names[index] : "Internal";
}

struct Error {
    Errc code = Errc::Internal;
    std::string message;  // lower-case, names the thing and the value, stands alone

    // Puts where it happened in front: Error{"no such file"}.in("capsule.toml") reads "capsule.toml: no such file".
    [[gnu::noinline]] Error in(std::string_view where) && { return {code, std::string(where) + ": " + std::move(message)}; }
};

template <class T>
using Result = tl::expected<T, Error>;

// Making an error is never inlined: it is done in hundreds of places, and seldom.
[[gnu::noinline]] inline tl::unexpected<Error> fail(Errc code, std::string message) {
    return tl::unexpected<Error>(Error{code, std::move(message)});
}

// For a failed system call: "open /a/b: No such file or directory".
[[gnu::noinline]] inline tl::unexpected<Error> failErrno(std::string_view what, int error = errno) {
    return fail(error == ENOENT ? Errc::NotFound : Errc::Io, std::string(what) + ": " + ::strerrordesc_np(error));
}

// Passes an error on: return forward(result) or return forward(std::move(result), "while …").
template <class T>
tl::unexpected<Error> forward(Result<T>&& failed) {
    return tl::unexpected<Error>(std::move(failed).error());
}
template <class T>
tl::unexpected<Error> forward(Result<T>&& failed, std::string_view where) {
    return tl::unexpected<Error>(std::move(failed.error()).in(where));
}

}  // namespace recap
