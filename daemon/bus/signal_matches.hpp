// SPDX-License-Identifier: Apache-2.0
// Signals of other services, that enabled capsules wait for. They come over a connection of their own, which is there while anything is
// waited for: who floods it fills a queue of its own in the bus, so that no call to org.recap1 waits behind signals, and it has its
// turns of the loop when nothing else wants one.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/event.hpp"
#include "daemon/core/schedule.hpp"
#include "sdk/base/result.hpp"

namespace recap::bus {

struct SignalRule {
    std::string match;                      // as manifest::parseMatchRule() gives it
    std::string sender;                     // the well-known name in it
    std::chrono::microseconds cooldown{0};  // of its event: for so long a flood needs not be heard
};

struct SignalLimits {
    std::size_t rules = 128;               // different ones; a connection has at most 512 at dbus-daemon, and each needs up to two
    unsigned flood = 500;                  // of one rule in a window: more, and it is not listened to for its cooldown, at least a window
    std::uint64_t windowUsec = 1'000'000;  // also until a connection that was lost is made anew
};

// On the loop, which outlives it. Nothing that a signal says or does is thrown into it.
class SignalMatches {
public:
    // A signal that `match` is for, by who owned the rule's sender when it was sent.
    using Heard = std::function<void(const std::string& match, const Occurrence& occurrence)>;

    SignalMatches(sd_event* loop, Heard heard, SignalLimits limits = {}, std::function<std::uint64_t()> now = monotonicMicroseconds);
    ~SignalMatches();
    SignalMatches(const SignalMatches&) = delete;
    SignalMatches& operator=(const SignalMatches&) = delete;

    // From now on these and no others; the same match twice is one, with the lesser cooldown. LimitExceeded: some are left out, and not
    // only those that were before.
    // Unavailable: the bus is not there now; it is tried again. What the bus itself refuses is told in the journal.
    Result<void> keep(const std::vector<SignalRule>& rules);
    std::size_t size() const { return rules_.size(); }
    // The bus has said that it has the rule and who owns its sender, and there is no flood by it.
    bool listens(const std::string& match) const;
    // Why signals by this rule, which an enabled capsule waits for, are not heard; empty: they are, or will be once the bus has answered.
    std::string problemOf(const std::string& match) const;

    // Rules whose flood is over by now are listened to again; by itself on its timer.
    void resume();

private:
    struct SlotUnref {
        void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
    };
    using Slot = std::unique_ptr<sd_bus_slot, SlotUnref>;
    struct BusClose {
        void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    };
    struct Rule {
        SignalMatches* matches = nullptr;
        SignalRule wanted;
        Slot slot;                     // null: not listened to
        bool installed = false;        // the bus has it
        std::string problem;           // why it never will
        std::uint64_t windowFrom = 0;  // its flood is counted since
        unsigned inWindow = 0;
        std::uint64_t pausedUntil = 0;
    };
    // Who owns a name is known from the bus's own word: sd-bus lets any sender pass where a rule has a well-known name, as it leaves
    // that to the bus, which does not look at what is sent to one connection alone.
    struct Sender {
        SignalMatches* matches = nullptr;
        std::string name;
        std::string owner;  // unique name; empty: none, or not known yet
        bool known = false;
        std::string problem;  // why it never will be
        Slot changes;
        Slot question;
    };

    Result<void> open();
    void close();
    void reopenLater();
    void listen(Rule& rule);
    void watch(const std::string& name);
    void forgetSenders();
    void hear(Rule& rule, sd_bus_message* signal);
    bool isFlooded(Rule& rule);
    void wakeAt(std::uint64_t time);

    static int onAny(sd_bus_message* message, void* self, sd_bus_error* error);
    static int onSignal(sd_bus_message* signal, void* rule, sd_bus_error* error);
    static int onInstalled(sd_bus_message* reply, void* rule, sd_bus_error* error);
    static int onOwner(sd_bus_message* reply, void* sender, sd_bus_error* error);
    static int onOwnerChanged(sd_bus_message* signal, void* sender, sd_bus_error* error);
    static int onWatched(sd_bus_message* reply, void* sender, sd_bus_error* error);
    static int onTime(sd_event_source* source, std::uint64_t now, void* self);

    sd_event* loop_;
    Heard heard_;
    SignalLimits limits_;
    std::function<std::uint64_t()> now_;
    std::unique_ptr<sd_bus, BusClose> bus_;
    Slot any_;
    std::map<std::string, std::unique_ptr<Sender>> senders_;
    std::map<std::string, std::unique_ptr<Rule>> rules_;  // by their match
    std::set<std::string> leftOut_;
    std::uint64_t reopenAt_ = 0;
    EventSource timer_;
};

}  // namespace recap::bus
