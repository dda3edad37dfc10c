// SPDX-License-Identifier: Apache-2.0
// The one door between values and D-Bus: a Result becomes a reply or the error org.recap1.Error.<its code>. Exceptions end
// here, since beyond are C frames: sdbus-c++ 1.2 lets any but its own fly through libsystemd, and the caller waits.
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "daemon/bus/text.hpp"
#include "sdk/base/result.hpp"

namespace recap::bus {

inline sdbus::Error toBus(const Error& error) { return {"org.recap1.Error." + std::string(name(error.code)), busSentence(error.message)}; }
inline sdbus::Error internalError(const std::exception& error) { return toBus({Errc::Internal, error.what()}); }

// For methods that answer at once.
template <class Body>
auto answer(Body&& body) {
    try {
        auto result = body();
        if (!result) throw toBus(result.error());
        if constexpr (!std::is_void_v<typename decltype(result)::value_type>) return std::move(*result);
    } catch (const sdbus::Error&) {
        throw;
    } catch (const std::exception& error) {
        throw internalError(error);
    }
}

void logDropped(const char* what, const std::string& why);

// For what is sent unasked: a connection that is just going must not end recapd from inside a callback.
template <class Body>
void guarded(const char* what, Body&& body) {
    try {
        body();
    } catch (const std::exception& error) {
        logDropped(what, error.what());
    }
}

// What the body throws is what is refused with.
template <class Refuse, class Body>
void refusing(const Refuse& refuse, Body&& body) {
    try {
        body();
    } catch (const sdbus::Error& error) {
        refuse(error);
    } catch (const std::exception& error) {
        refuse(internalError(error));
    }
}

// The answer to a method that is given later; once. Copies share it.
template <class... Values>
class Answer {
public:
    explicit Answer(sdbus::Result<Values...>&& result) : given_(std::make_shared<Given>(Given{std::move(result)})) {}

    // One that cannot be sent becomes an error: who asked does not wait for ever.
    void give(const Values&... values) const {
        if (given_->once) return;
        refusing([this](const sdbus::Error& error) { refuse(error); },
                 [&] {
                     given_->result.returnResults(values...);
                     given_->once = true;
                 });
    }
    void refuse(const sdbus::Error& error) const {
        if (std::exchange(given_->once, true)) return;
        guarded("error reply", [&] { given_->result.returnError(error); });
    }
    void refuse(const Error& error) const { refuse(toBus(error)); }
    template <class Value>
    void operator()(const Result<Value>& result) const {
        if (!result) return refuse(result.error());
        if constexpr (std::is_void_v<Value>)
            give();
        else
            give(*result);
    }

    // The body as a callback. Every part of a method that runs later is made by this: what it throws is the answer.
    template <class Body>
    auto later(Body body) const {
        return [answer = *this, body = std::move(body)](auto&&... arguments) mutable {
            refusing([&](const sdbus::Error& error) { answer.refuse(error); },
                     [&] { body(std::forward<decltype(arguments)>(arguments)...); });
        };
    }

private:
    struct Given {
        sdbus::Result<Values...> result;
        bool once = false;
    };
    std::shared_ptr<Given> given_;
};

// Runs the beginning of such a method; what it throws becomes the answer.
template <class... Values, class Body>
void begin(sdbus::Result<Values...>&& result, Body&& body) {
    const Answer<Values...> answer(std::move(result));
    refusing([&](const sdbus::Error& error) { answer.refuse(error); },
             [&] {
                 const Result<void> begun = body(answer);
                 if (!begun) answer.refuse(begun.error());
             });
}

}  // namespace recap::bus
