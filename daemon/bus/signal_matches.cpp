// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/signal_matches.hpp"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "daemon/bus/door.hpp"
#include "daemon/bus/signal_facts.hpp"

namespace recap::bus {
namespace {

constexpr const char* kDriver = "org.freedesktop.DBus";
constexpr const char* kDriverPath = "/org/freedesktop/DBus";
constexpr const char* kSystemBus = "unix:path=/run/dbus/system_bus_socket";

std::uint64_t usec(std::chrono::microseconds time) { return static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)); }

void warn(const std::string& sentence) { std::fprintf(stderr, SD_WARNING "%s\n", sentence.c_str()); }

std::string reason(sd_bus_message* reply) {
    const sd_bus_error* error = sd_bus_message_get_error(reply);
    return error == nullptr ? "no reason given" : std::string(error->name) + ": " + (error->message != nullptr ? error->message : "");
}

// As sd_bus_open_system() does it, without descriptors: nobody can send us any.
Result<sd_bus*> connect() {
    const char* named = ::secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
    sd_bus* bus = nullptr;
    int error = sd_bus_new(&bus);
    if (error >= 0) error = sd_bus_set_address(bus, named != nullptr ? named : kSystemBus);
    if (error >= 0) error = sd_bus_set_bus_client(bus, 1);
    if (error >= 0) error = sd_bus_negotiate_fds(bus, 0);
    if (error >= 0) error = sd_bus_start(bus);
    if (error >= 0) return bus;
    sd_bus_unref(bus);
    Error why = failErrno("connect to the system bus for signals", -error).value();
    return fail(Errc::Unavailable, std::move(why.message));
}

}  // namespace

SignalMatches::SignalMatches(sd_event* loop, Heard heard, SignalLimits limits, std::function<std::uint64_t()> now)
    : loop_(loop), heard_(std::move(heard)), limits_(limits), now_(std::move(now)) {}

SignalMatches::~SignalMatches() { close(); }

Result<void> SignalMatches::keep(const std::vector<SignalRule>& rules) {
    std::map<std::string, SignalRule> wanted;
    for (const auto& rule : rules) {
        const auto [known, isNew] = wanted.emplace(rule.match, rule);
        if (!isNew) known->second.cooldown = std::min(known->second.cooldown, rule.cooldown);
    }
    std::erase_if(rules_, [&](const auto& known) { return !wanted.contains(known.first); });
    std::set<std::string> leftOut;
    for (const auto& [match, rule] : wanted) {
        if (const auto known = rules_.find(match); known != rules_.end()) {
            known->second->wanted = rule;
        } else if (rules_.size() >= limits_.rules) {
            leftOut.insert(match);
        } else {
            auto& added = rules_[match] = std::make_unique<Rule>();
            added->matches = this;
            added->wanted = rule;
            if (bus_) listen(*added);
        }
    }
    forgetSenders();
    if (rules_.empty()) close();
    if (!rules_.empty() && !bus_)
        if (auto opened = open(); !opened) return opened;
    const auto before = std::exchange(leftOut_, std::move(leftOut));
    if (std::ranges::includes(before, leftOut_)) return {};
    return fail(Errc::LimitExceeded, "enabled capsules wait for signals by " + std::to_string(wanted.size()) +
                                         " different match rules; recapd listens for " + std::to_string(limits_.rules));
}

void SignalMatches::forgetSenders() {
    std::set<std::string> wanted;
    for (const auto& [match, rule] : rules_) wanted.insert(rule->wanted.sender);
    std::erase_if(senders_, [&](const auto& known) { return !wanted.contains(known.first); });
}

bool SignalMatches::listens(const std::string& match) const {
    const auto rule = rules_.find(match);
    if (rule == rules_.end() || !rule->second->slot || !rule->second->installed) return false;
    const auto sender = senders_.find(rule->second->wanted.sender);
    return sender != senders_.end() && sender->second->known;
}

std::string SignalMatches::problemOf(const std::string& match) const {
    const auto found = rules_.find(match);
    if (found == rules_.end())
        return "enabled capsules wait for signals by more than " + std::to_string(limits_.rules) + " different match rules";
    if (!bus_ || reopenAt_ != 0) return "the connection to the system bus for signals is lost, and is made anew when the bus is there";
    const Rule& rule = *found->second;
    if (!rule.slot && rule.pausedUntil > now_())
        return "there were more than " + std::to_string(limits_.flood) + " such signals a second: they are not listened to for another " +
               std::to_string((rule.pausedUntil - now_() + 999'999) / 1'000'000) + " s";
    const auto sender = senders_.find(rule.wanted.sender);
    return rule.problem.empty() && sender != senders_.end() ? sender->second->problem : rule.problem;
}

Result<void> SignalMatches::open() {
    reopenAt_ = 0;
    auto connected = connect();
    if (!connected) {
        reopenLater();
        return forward(std::move(connected));
    }
    bus_.reset(*connected);
    sd_bus_slot* slot = nullptr;
    int error = sd_bus_attach_event(bus_.get(), loop_, SD_EVENT_PRIORITY_IDLE);
    if (error >= 0) error = sd_bus_add_filter(bus_.get(), &slot, onAny, this);
    if (error < 0) {
        close();
        reopenLater();
        return failErrno("listen for signals on the system bus", -error);
    }
    any_.reset(slot);
    for (const auto& [match, rule] : rules_) listen(*rule);
    return {};
}

void SignalMatches::close() {
    for (const auto& [match, rule] : rules_) rule->slot.reset();
    senders_.clear();
    any_.reset();
    bus_.reset();
    reopenAt_ = 0;  // or its timer, whose time has come, would be set for ever where no rule opens it again
}

void SignalMatches::reopenLater() {
    reopenAt_ = now_() + limits_.windowUsec;
    wakeAt(reopenAt_);
}

// Asked without waiting: the answer may be behind a queue of signals.
void SignalMatches::listen(Rule& rule) {
    if (rule.pausedUntil > now_()) return;
    rule.problem.clear();
    watch(rule.wanted.sender);  // first: what comes by the rule has a sender that is known
    sd_bus_slot* slot = nullptr;
    const int error = sd_bus_add_match_async(bus_.get(), &slot, rule.wanted.match.c_str(), onSignal, onInstalled, &rule);
    if (error < 0) {
        rule.problem = std::string("the bus can't be asked for its match rule: ") + ::strerrordesc_np(-error);
        return warn("no capsule starts by match rule " + rule.wanted.match + ": " + rule.problem);
    }
    rule.slot.reset(slot);
    rule.installed = false;
    rule.pausedUntil = rule.inWindow = 0;
}

void SignalMatches::watch(const std::string& name) {
    auto& sender = senders_[name];
    if (sender) return;
    sender = std::make_unique<Sender>();
    sender->matches = this;
    sender->name = name;
    std::string changes;
    for (const std::string_view part :
         {std::string_view("type='signal',sender='"), std::string_view(kDriver), std::string_view("',path='"),
          std::string_view(kDriverPath), std::string_view("',interface='"), std::string_view(kDriver),
          std::string_view("',member='NameOwnerChanged',arg0='"), std::string_view(name), std::string_view("'")})
        changes += part;
    sd_bus_slot* slot = nullptr;
    int error = sd_bus_add_match_async(bus_.get(), &slot, changes.c_str(), onOwnerChanged, onWatched, sender.get());
    if (error >= 0) {
        sender->changes.reset(slot);
        error = sd_bus_call_method_async(bus_.get(), &slot, kDriver, kDriverPath, kDriver, "GetNameOwner", onOwner, sender.get(), "s",
                                         name.c_str());
    }
    if (error >= 0) return sender->question.reset(slot);
    sender->problem = "the owner of " + name + " can't be asked for: " + ::strerrordesc_np(-error);
    warn("no capsule starts by signals of " + name + ": " + sender->problem);
}

void SignalMatches::hear(Rule& rule, sd_bus_message* signal) {
    const auto sender = senders_.find(rule.wanted.sender);
    const char* from = sd_bus_message_get_sender(signal);
    if (from == nullptr || sender == senders_.end() || sender->second->owner != from) return;
    if (isFlooded(rule)) return;
    std::uint64_t serial = 0;
    sd_bus_message_get_cookie(signal, &serial);
    Occurrence occurrence{"dbus-signal", microseconds(CLOCK_REALTIME), from + (" " + std::to_string(serial)), signalFacts(signal)};
    occurrence.facts["service"] = rule.wanted.sender;
    heard_(std::string(rule.wanted.match), occurrence);  // last: the rule may be gone after that
}

// One that comes within the cooldown of another starts nothing, so that nothing is lost while a flood is not heard, if it is not of an
// event without a cooldown; and of those recapd starts twenty in a second.
bool SignalMatches::isFlooded(Rule& rule) {
    const std::uint64_t now = now_();
    if (now - rule.windowFrom >= limits_.windowUsec) {
        rule.windowFrom = now;
        rule.inWindow = 0;
    }
    if (++rule.inWindow <= limits_.flood) return false;
    const std::uint64_t pause = std::max(usec(rule.wanted.cooldown), limits_.windowUsec);
    rule.pausedUntil = now + pause;
    rule.slot.reset();
    wakeAt(rule.pausedUntil);
    warn("more than " + std::to_string(limits_.flood) + " signals a second by match rule " + rule.wanted.match +
         ": they are not listened to for " + std::to_string(pause / 1000) + " ms");
    return true;
}

void SignalMatches::resume() {
    const std::uint64_t now = now_();
    if (reopenAt_ != 0 && reopenAt_ <= now) {
        close();
        if (const auto opened = rules_.empty() ? Result<void>() : open(); !opened) warn(opened.error().message);
    }
    std::uint64_t next = reopenAt_ == 0 ? UINT64_MAX : reopenAt_;
    for (const auto& [match, rule] : rules_) {
        if (bus_ && !rule->slot && rule->pausedUntil != 0 && rule->pausedUntil <= now) listen(*rule);
        if (!rule->slot && rule->pausedUntil > now) next = std::min(next, rule->pausedUntil);
    }
    if (next != UINT64_MAX) wakeAt(next);
}

void SignalMatches::wakeAt(std::uint64_t time) {
    std::uint64_t set = 0;
    int enabled = SD_EVENT_OFF;
    if (timer_ && sd_event_source_get_enabled(timer_.get(), &enabled) > 0 && sd_event_source_get_time(timer_.get(), &set) >= 0 &&
        set <= time)
        return;
    sd_event_source* source = nullptr;
    if (const int error = sd_event_add_time(loop_, &source, CLOCK_MONOTONIC, time, 50'000, onTime, this); error < 0)
        return warn(std::string("the timer of signals: ") + ::strerrordesc_np(-error));
    timer_.reset(source);
}

// Before any rule is looked at. What is sent to this connection alone is none of the bus's broadcasts, whoever says so.
int SignalMatches::onAny(sd_bus_message* message, void* self, sd_bus_error*) {
    if (sd_bus_message_is_signal(message, "org.freedesktop.DBus.Local", "Disconnected") > 0) {
        guarded("signals of the lost bus", [&] { static_cast<SignalMatches*>(self)->reopenLater(); });
        return 0;
    }
    return sd_bus_message_is_signal(message, nullptr, nullptr) > 0 && sd_bus_message_get_destination(message) != nullptr ? 1 : 0;
}

int SignalMatches::onSignal(sd_bus_message* signal, void* rule, sd_bus_error*) {
    guarded("what a signal starts", [&] {
        auto& heard = *static_cast<Rule*>(rule);
        heard.matches->hear(heard, signal);
    });
    return 0;
}

int SignalMatches::onInstalled(sd_bus_message* reply, void* rule, sd_bus_error*) {
    auto& asked = *static_cast<Rule*>(rule);
    asked.installed = sd_bus_message_is_method_error(reply, nullptr) <= 0;
    if (asked.installed) return 0;
    guarded("a refused match rule", [&] {
        asked.problem = "the bus refuses its match rule: " + reason(reply);
        warn("no capsule starts by match rule " + asked.wanted.match + ": " + asked.problem);
        asked.slot.reset();
    });
    return 0;
}

int SignalMatches::onOwner(sd_bus_message* reply, void* sender, sd_bus_error*) {
    guarded("the owner of a name", [&] {
        const char* owner = nullptr;
        const bool none =
            sd_bus_message_is_method_error(reply, nullptr) > 0 || sd_bus_message_read_basic(reply, SD_BUS_TYPE_STRING, &owner) <= 0;
        static_cast<Sender*>(sender)->owner = none ? "" : owner;
        static_cast<Sender*>(sender)->known = true;
    });
    return 0;
}

int SignalMatches::onOwnerChanged(sd_bus_message* signal, void* sender, sd_bus_error*) {
    guarded("the owner of a name", [&] {
        const char *name = nullptr, *before = nullptr, *after = nullptr;
        auto& known = *static_cast<Sender*>(sender);
        const char* from = sd_bus_message_get_sender(signal);
        if (from == nullptr || std::string_view(from) != kDriver) return;
        if (sd_bus_message_read(signal, "sss", &name, &before, &after) > 0 && known.name == name) known.owner = after;
    });
    return 0;
}

int SignalMatches::onWatched(sd_bus_message* reply, void* sender, sd_bus_error*) {
    if (sd_bus_message_is_method_error(reply, nullptr) > 0)
        guarded("a refused match rule", [&] {
            auto& known = *static_cast<Sender*>(sender);
            known.problem = "the bus does not tell who owns " + known.name + ": " + reason(reply);
            warn("no capsule starts by signals of " + known.name + ": " + known.problem);
            known.question.reset();
            known.changes.reset();
            known.owner.clear();
            known.known = false;
        });
    return 0;
}

int SignalMatches::onTime(sd_event_source*, std::uint64_t, void* self) {
    guarded("signals", [&] { static_cast<SignalMatches*>(self)->resume(); });
    return 0;
}

}  // namespace recap::bus
