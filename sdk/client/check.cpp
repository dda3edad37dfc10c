// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/check.hpp"

#include <dbus/dbus.h>

namespace recap::client {

namespace {

constexpr std::size_t kQuoted = 64;  // bytes of a value that an error repeats

std::string quoted(const std::string& text) { return "'" + (text.size() > kQuoted ? text.substr(0, kQuoted) + "…" : text) + "'"; }

Result<void> checkAt(const Dict& dict, std::size_t& size, int depth);

struct Checker {
    std::size_t& size;
    int depth;

    Result<void> operator()(const std::string& is) const { return check(is, size); }
    Result<void> operator()(const Strings& is) const { return check(is, size); }
    Result<void> operator()(const Labels& is) const {
        for (const auto& [label, text] : is)
            for (const std::string* one : {&label, &text})
                if (auto fine = check(*one, size); !fine) return fine;
        return {};
    }
    Result<void> operator()(const Dict& is) const { return checkAt(is, size, depth + 1); }
    Result<void> operator()(BorrowedFd is) const { return check(is, size); }
    Result<void> operator()(std::monostate) const { return fail(Errc::InvalidArgument, "it has no value"); }
    Result<void> operator()(const Rows&) const { return fail(Errc::InvalidArgument, "rows are for answers, no option takes them"); }
    Result<void> operator()(const Numbers&) const {
        return fail(Errc::InvalidArgument, "lists of numbers are for answers, no option takes them");
    }
    Result<void> operator()(const auto&) const { return {}; }
};

Result<void> checkAt(const Dict& dict, std::size_t& size, int depth) {
    if (depth > kMaxDepth)
        return fail(Errc::InvalidArgument, "more than " + std::to_string(kMaxDepth) + " dictionaries in one another: nested too deeply");
    for (const auto& [key, value] : dict) {
        if (auto fine = check(key, size); !fine) return fine;
        if (auto fine = std::visit(Checker{size, depth}, value.is); !fine) return forward(std::move(fine), "option " + quoted(key));
        size += 16;  // its alignment, the variant's signature, a number
    }
    return {};
}

}  // namespace

Result<void> check(const Dict& dict, std::size_t& size) { return checkAt(dict, size, 0); }

Result<void> check(const Strings& strings, std::size_t& size) {
    for (const auto& text : strings)
        if (auto fine = check(text, size); !fine) return fine;
    return {};
}

Result<void> check(const std::string& text, std::size_t& size) {
    size += text.size() + 8;  // its length, its end, its alignment
    if (size > kMaxArguments)
        return fail(Errc::LimitExceeded, "the arguments have more than " + std::to_string(kMaxArguments >> 20) +
                                             " MiB in all, and the bus carries no larger message");
    if (text.find('\0') != std::string::npos)
        return fail(Errc::InvalidArgument, quoted(text) + " has a zero byte in it, and the bus cannot carry that in text");
    if (!dbus_validate_utf8(text.c_str(), nullptr))
        return fail(Errc::InvalidArgument, quoted(text) + " is not UTF-8, and the bus carries no other text");
    return {};
}

Result<void> check(BorrowedFd fd, std::size_t&) {
    if (fd.fd >= 0) return {};
    return fail(Errc::InvalidArgument, std::to_string(fd.fd) + " is no descriptor");
}

}  // namespace recap::client
