// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/authority.hpp"

#include <systemd/sd-bus.h>

#include <algorithm>
#include <chrono>

#include "daemon/bus/door.hpp"

namespace recap::bus {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kRemembered = 256;
constexpr auto kAnswerTime = 25s;
constexpr auto kHumanTime = 5min;
constexpr std::uint32_t kAllowInteraction = 1;
// dbus-daemon takes 128 questions of a connection that nobody has answered, and a human may never answer.
constexpr std::size_t kMaxChecks = 64;
constexpr std::size_t kMaxChecksOfOne = 8;
constexpr const char* kPolkit = "org.freedesktop.PolicyKit1.Authority";

// sdbus-c++ 1.2 knows the sender of a message, but not this flag of it.
struct RawMessage : sdbus::Message {
    static sd_bus_message* of(const sdbus::Message& message) { return static_cast<sd_bus_message*>(message.*(&RawMessage::msg_)); }
};

using Subject = sdbus::Struct<std::string, Values>;
using Verdict = sdbus::Struct<bool, bool, std::map<std::string, std::string>>;

std::string cancellation(std::uint64_t check) { return "recap1-" + std::to_string(check); }

sdbus::Error refusal(const Right& right, bool challenge) {
    const std::string message = busText(right.sentence) + " (polkit action " + right.action + ")";
    if (challenge)
        return {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                message + "; it takes an authentication that was not asked for"};
    return toBus({Errc::AccessDenied, message});
}

}  // namespace

Asker Asker::current(sdbus::IObject& object, bool interactiveOption) {
    const sdbus::Message& message = *object.getCurrentlyProcessedMessage();
    return {message.getSender(), interactiveOption || sd_bus_message_get_allow_interactive_authorization(RawMessage::of(message)) > 0};
}

Authority::Authority(sdbus::IConnection& bus)
    : driver_(sdbus::createProxy(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus")),
      polkit_(sdbus::createProxy(bus, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority")) {}

void Authority::ask(const Asker& asker, Right right, Allowed allowed, const Refused& refused) {
    const auto decide = [this, asker, right = std::move(right), allowed = std::move(allowed), refused](std::uint32_t uid) {
        if (uid == 0 || right.owner == uid) return allowed(uid);
        askPolkit(asker, right, uid, allowed, refused);
    };
    identify(asker.busName, decide, refused);
}

void Authority::expect(const std::string& busName) {
    if (uids_.contains(busName) || waiting_.contains(busName)) return;
    driver_->callMethodAsync("GetConnectionUnixUser")
        .onInterface("org.freedesktop.DBus")
        .withArguments(busName)
        .uponReplyInvoke([this, busName](const sdbus::Error* error, std::uint32_t uid) { identified(busName, error, uid); });
    waiting_.try_emplace(busName);
}

void Authority::identify(const std::string& busName, Allowed then, Refused refused) {
    if (const auto known = uids_.find(busName); known != uids_.end()) return then(known->second);
    expect(busName);
    waiting_.at(busName).push_back({std::move(then), std::move(refused)});
}

void Authority::identified(const std::string& busName, const sdbus::Error* error, std::uint32_t uid) {
    const auto waiting = waiting_.extract(busName);
    if (waiting.empty()) return;  // left meanwhile
    if (error == nullptr) remember(busName, uid);
    for (const auto& one : waiting.mapped()) {
        refusing(one.refused, [&] {
            if (error != nullptr)
                return one.refused(toBus({Errc::AccessDenied, "the bus does not say who " + busName + " is: " + error->getMessage()}));
            one.then(uid);
        });
    }
}

void Authority::remember(const std::string& busName, std::uint32_t uid) {
    if (!uids_.emplace(busName, uid).second) return;
    oldest_.push_back(busName);
    if (oldest_.size() <= kRemembered) return;
    uids_.erase(oldest_.front());
    oldest_.pop_front();
}

Result<void> Authority::checkRoom(std::uint32_t uid) const {
    const auto mine = std::count_if(checks_.begin(), checks_.end(), [uid](const auto& check) { return check.second.uid == uid; });
    const bool full = checks_.size() >= kMaxChecks;
    if (!full && static_cast<std::size_t>(mine) < kMaxChecksOfOne) return {};
    return fail(Errc::Busy, "polkit has not answered " + std::to_string(full ? kMaxChecks : kMaxChecksOfOne) + " earlier questions" +
                                (full ? "" : " about user " + std::to_string(uid)) + " yet; answer what it asks, or try again later");
}

void Authority::askPolkit(const Asker& asker, const Right& right, std::uint32_t uid, Allowed allowed, Refused refused) {
    if (const auto room = checkRoom(uid); !room) return refused(toBus(room.error()));
    const Subject subject{"system-bus-name", Values{{"name", sdbus::Variant(asker.busName)}}};
    auto details = busText(right.details);
    if (!right.message.empty()) details["polkit.message"] = right.message;
    const std::chrono::microseconds patience =
        asker.interactive ? std::chrono::microseconds(kHumanTime) : std::chrono::microseconds(kAnswerTime);
    const std::uint64_t id = ++asked_;
    auto call = polkit_->callMethodAsync("CheckAuthorization")
                    .onInterface(kPolkit)
                    .withTimeout(patience)
                    .withArguments(subject, right.action, details, asker.interactive ? kAllowInteraction : 0u, cancellation(id))
                    .uponReplyInvoke([this, id, right, uid, allowed = std::move(allowed), refused = std::move(refused)](
                                         const sdbus::Error* error, const Verdict& verdict) {
                        checks_.erase(id);
                        refusing(refused, [&] {
                            if (error != nullptr) {
                                cancel(id);
                                return refused(toBus({Errc::Unavailable, right.sentence + ": polkit could not be asked about " +
                                                                             right.action + ": " + error->getMessage()}));
                            }
                            if (!std::get<0>(verdict)) return refused(refusal(right, std::get<1>(verdict)));
                            allowed(uid);
                        });
                    });
    checks_[id] = {asker.busName, uid, std::move(call)};
}

// Polkit may still be asking a human; until it has answered, the bus counts the question. What it says to this is nothing.
void Authority::cancel(std::uint64_t check) {
    guarded("CancelCheckAuthorization", [&] {
        polkit_->callMethodAsync("CancelCheckAuthorization")
            .onInterface(kPolkit)
            .withArguments(cancellation(check))
            .uponReplyInvoke([](const sdbus::Error*) {});
    });
}

void Authority::left(const std::string& busName) {
    if (uids_.erase(busName) > 0) std::erase(oldest_, busName);
    waiting_.erase(busName);
    for (auto check = checks_.begin(); check != checks_.end();) {
        if (check->second.busName != busName) {
            ++check;
            continue;
        }
        const std::uint64_t id = check->first;
        check->second.call.cancel();
        check = checks_.erase(check);
        cancel(id);
    }
}

}  // namespace recap::bus
