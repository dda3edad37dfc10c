// SPDX-License-Identifier: Apache-2.0
// Events that start runs: of enabled capsules, what their [[schedule.event]] say. Targets that start and stop and runs that finish are
// heard of here; what is watched for in a target comes in through happened(). Lives on the loop.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/triggers/throttle.hpp"

namespace recap {

struct EventParts {  // all outlive it
    sd_event* loop;
    const TargetTable& targets;
    const CapsuleStore& capsules;
    RunTable& runs;
    // Starts an enabled capsule's runs for this, as its enabler: on these targets of those that it selects; empty: on all.
    std::function<Result<BatchId>(const CapsuleInfo& capsule, const Occurrence& occurrence, const std::vector<TargetId>& on)> fire;
    // Since when it is enabled (CLOCK_REALTIME, µs), where its events count; 0: they do not.
    std::function<std::uint64_t(const CapsuleInfo& capsule)> armedSince;
    ThrottleLimits limits = {};
    std::function<std::uint64_t()> now = monotonicMicroseconds;
    // What is to be known after a restart of recapd (not of the host) too: the targets that target-stop events wait for, those whose start
    // is past, and kills that were acted on. Empty: nowhere.
    std::function<Result<std::string>()> recall = {};
    std::function<Result<void>(const std::string& text)> keep = {};
    std::string boot = {};  // which one of the host's
};

// One [[schedule.event]] of a capsule that is enabled.
struct ArmedEvent {
    std::string capsule;
    std::size_t index = 0;
    EventSchedule event;
    Selection selection;
    Missed missed = Missed::RunOnce;
    std::uint64_t since = 0;
};

class Events final : public TargetListener, public RunListener {
public:
    static Result<std::unique_ptr<Events>> create(const EventParts& parts);
    ~Events() override;
    Events(const Events&) = delete;
    Events& operator=(const Events&) = delete;

    // Targets and runs of before are known: what happened while recapd was away is made up for, or told as missed. A backend may come
    // later: of a target that started before, the ledger is asked then.
    void begin();
    // Capsules, or what is enabled, have changed.
    void refresh();
    const std::vector<ArmedEvent>& armed() const { return armed_->all; }

    // It happened on this target; empty: on no one target, so that the capsule runs on all that it selects.
    void happened(const ArmedEvent& armed, const Target* target, Occurrence occurrence);
    // Until when one on this target would start nothing (EventParts::now); 0: it would.
    std::uint64_t coolsUntil(const ArmedEvent& armed, const TargetId& target) const;
    // So many came within the cooldown that was, and nobody looked at them before: told as such. `cause`: of the last of them.
    void cameInCooldown(const ArmedEvent& armed, const TargetId& target, std::uint64_t count, const std::string& cause);
    // It starts nothing, and why: a row of the ledger.
    void skip(const ArmedEvent& armed, const std::string& target, const Occurrence& occurrence, const std::string& why);
    // Of a target, for causes: the boot, its pid and its start time; no clock that is set changes it.
    std::string lifeOf(const Target& target) const;

    // How many kills of a life a capsule has acted on, however long ago that was; none: nobody knows. Kept for the next recapd.
    std::optional<std::uint64_t> killsActedOn(const std::string& life, const std::string& capsule) const;
    void actedOnKills(const std::string& life, const std::string& capsule, std::uint64_t total);
    void forgetKills(const std::string& life);

    void targetAdded(const Target& target) override;
    void targetChanged(const Target& target) override;
    void targetRemoved(const TargetId& id) override;
    void backendChanged(const BackendStatus&) override {}
    void submitted(const RunId&) override {}
    void started(const RunPlan&) override {}
    void changed(const RunId&, const Phases&) override {}
    void finished(const RunReport& report) override;
    void expired(const RunId&) override {}

    // Events that started nothing are written down; what is made up for goes on; the targets are kept: by themselves on their timers.
    void tellMissed();
    void makeUp();
    void keepKnown();
    // recapd ends: what has been counted is written down now.
    void tellAll();

private:
    struct Life {
        pid_t pid = 0;
        std::uint64_t startTime = 0;  // clock ticks since boot
        auto operator<=>(const Life&) const = default;
    };
    struct Known {
        Life life;
        std::string name;
        std::set<std::pair<std::string, std::size_t>> stops;  // capsules' target-stop events that it would match
    };
    // A target that nobody tells of any more: whether it has stopped shows when its process ends.
    struct Leaving {
        Events* events = nullptr;
        TargetId id;
        Known known;
        UniqueFd pidfd;
        EventSource end;
        std::list<Leaving>::iterator self;
    };
    using Fired = std::tuple<std::string, std::size_t, Life>;
    // What is armed at a time; who goes through it holds it, as what is fired may change what is armed.
    struct Armed {
        std::vector<ArmedEvent> all;
        std::vector<const ArmedEvent*> starts, stops;
        std::map<std::string, std::vector<const ArmedEvent*>> chains;  // by the capsule whose runs they wait for
        const ArmedEvent* find(const std::string& capsule, std::size_t index) const;
    };
    using OneArmed = std::shared_ptr<const ArmedEvent>;  // with all that were armed at its time
    // Happened while recapd was away, and is made up for when there is room: as act() has it.
    struct Due {
        OneArmed armed;
        std::string about;
        std::vector<TargetId> on;
        Occurrence occurrence;
    };

    explicit Events(const EventParts& parts) : parts_(parts), throttle_(parts.limits) {}

    // `about`: the target of cooldown and rows, BACKEND:ID; empty: none.
    void act(const ArmedEvent& armed, const std::string& about, const std::vector<TargetId>& on, const Occurrence& occurrence);
    void know(const Target& target);
    void startOf(const Target& target);
    void startOf(const ArmedEvent& armed, const Target& target);
    void stopOf(const TargetId& id, const Known& known);
    void waitForEnd(const TargetId& id, Known known, UniqueFd pidfd);
    bool fireOnce(const ArmedEvent& armed, const Life& life);
    void chain(const OneArmed& armed, const EndedRun& run, bool isLate);
    void tell(const std::vector<Throttle::Missed>& missed);
    void tellLater();

    // What happened while recapd was away (catch_up.cpp).
    bool wasBefore(const Target& target) const { return target.startTime < begunTicks_; }
    bool isStillArmed(const ArmedEvent& armed) const;
    int lateStarts(const TargetId& id);  // how often the ledger was asked
    bool lateStart(const OneArmed& armed, const Target& target);
    void lateChains(const OneArmed& armed);
    void lateStop(const TargetId& id, const Known& known, const std::string& boot);
    bool isNew(const ArmedEvent& armed, const Occurrence& occurrence) const;
    void late(const OneArmed& armed, const std::string& about, const std::vector<TargetId>& on, const Occurrence& occurrence,
              const std::string& what);
    void makeUpLater();

    // What the next recapd is to know (kept_targets.cpp).
    void recall();
    void recallLine(std::string_view fields, bool sameBoot);
    void noteSeen();
    bool wasSeen(const Target& target) const { return seen_.contains({{target.pid, target.startTime}, target.id}); }
    void keepLater();

    Occurrence ofStart(const Target& target) const;
    // `boot`: which one of the host's it ran in.
    static Occurrence ofStop(const TargetId& id, const Known& known, const std::string& boot);
    static std::string line(const TargetId& id, const Known& known);
    static bool isAlive(const Life& life);
    Result<void> addTimer(EventSource& into, sd_event_time_handler_t handler);
    static int onTell(sd_event_source* source, std::uint64_t now, void* self);
    static int onPace(sd_event_source* source, std::uint64_t now, void* self);
    static int onKeep(sd_event_source* source, std::uint64_t now, void* self);
    static int onEnd(sd_event_source* source, int fd, std::uint32_t events, void* self);

    EventParts parts_;
    Throttle throttle_;
    std::shared_ptr<const Armed> armed_ = std::make_shared<const Armed>();
    std::map<TargetId, Known> known_;  // where a target-stop event matches
    std::list<Leaving> leaving_;
    std::set<Fired> fired_;
    std::deque<std::set<Fired>::iterator> firedOrder_;
    std::uint64_t begunTicks_ = 0;  // CLOCK_BOOTTIME, clock ticks; 0: not yet
    std::uint64_t begun_ = 0;       // CLOCK_REALTIME, µs
    std::deque<Due> due_;
    std::deque<OneArmed> toLookBack_;  // chains whose past has not been looked at
    std::set<RunId> finished_;         // while there are some: heard of, and not past
    std::deque<TargetId> toLookAt_;    // targets that may have started while recapd was away
    std::optional<std::string> kept_;
    std::set<std::pair<Life, TargetId>> seen_;                            // whose start is past, to the recapd of before or to this one
    std::map<std::pair<std::string, std::string>, std::uint64_t> kills_;  // of a life, acted on by a capsule
    std::vector<std::pair<TargetId, Known>> before_;                      // whose end the recapd of before waited for, until begin()
    std::string bootBefore_;                                              // likewise
    EventSource tell_;
    EventSource pace_;
    EventSource keep_;
};

// When a process was started (CLOCK_REALTIME, µs), by its clock ticks since boot (proc_pid_stat(5)).
std::uint64_t realTimeOf(std::uint64_t ticks);

// The run-finished events of a capsule that would start it again by themselves, as "a -> b -> a"; empty: none. `changed` stands for the
// one of the same name in `capsules`.
std::string chainLoop(const CapsuleInfo& changed, const std::vector<const CapsuleInfo*>& capsules);

}  // namespace recap
