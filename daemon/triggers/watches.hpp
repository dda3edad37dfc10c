// SPDX-License-Identifier: Apache-2.0
// What is watched for in targets: of each oom, pressure and file-changed event that is armed, one watch on every target that it selects.
// A watch that tells of something is not listened to for a while: what comes meanwhile waits in the kernel, which keeps a number or so
// many records of it, and is counted then. In a cooldown a file is listened to all the same, lest its records stay there, and only
// counted. Lives on the loop, where all else goes first.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/core/capsules.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/core/watch.hpp"
#include "daemon/triggers/events.hpp"
#include "daemon/triggers/watch_reader.hpp"

namespace recap {

struct WatchParts {  // all outlive it, but for `launcher`, whose answers may also come later
    sd_event* loop;
    Events& events;
    TargetTable& targets;
    TargetWatches& launcher;
    const RunTable& runs;  // what was acted on before
    const CapsuleStore& capsules;
    std::function<std::uint64_t()> now = monotonicMicroseconds;
    KillsIn kills = killsIn;
};

class Watches final : public TargetListener {
public:
    static constexpr std::size_t kMost = 4096;  // as the launcher has them

    static Result<std::unique_ptr<Watches>> create(const WatchParts& parts);
    ~Watches() override;
    Watches(const Watches&) = delete;
    Watches& operator=(const Watches&) = delete;

    // What Events::armed() has may be something else now.
    void refresh();
    // What there was no watch for is asked about anew.
    void launcherConnected();
    // Watches go on; it does not know of them any more.
    void launcherGone();

    // Why a capsule's event is not heard of, on some target at least; empty: it is.
    std::string problemOf(const std::string& capsule, std::size_t event) const;
    std::size_t size() const { return watches_.size(); }

    void targetAdded(const Target& target) override;
    void targetChanged(const Target& target) override;
    void targetRemoved(const TargetId& id) override;  // to be told before Events is, which then tells what was counted
    void backendChanged(const BackendStatus&) override {}

    // What is due by now is done; by itself on its timer.
    void tick();
    // recapd ends: what was heard, or came in a cooldown, is told now; Events::tellAll() is for after it.
    void tellAll();

private:
    enum class Doing {
        Waiting,    // to ask for a descriptor, once it is due
        Asking,     // or about to
        Listening,  // to the descriptor; due once a cooldown ends
        Settling,   // it has told of something, and more comes with it
        Reading,    // what it has told of, some of it at a time
        Resting,    // it is not listened to before it is due
    };
    struct Key {
        TargetId target;
        std::string capsule;
        std::size_t event = 0;
        auto operator<=>(const Key&) const = default;
    };
    using Event = std::pair<std::string, std::size_t>;  // a capsule's
    using Armed = std::shared_ptr<const ArmedEvent>;
    struct Watch : std::enable_shared_from_this<Watch> {
        Watches* watches = nullptr;
        Key key;
        Armed armed;
        Doing doing = Doing::Waiting;
        std::uint64_t due = 0;  // WatchParts::now, µs; 0: at no time
        bool dropped = false;

        std::shared_ptr<UniqueFd> pidfd;  // the target's, once it was asked about
        std::uint64_t startTime = 0;      // likewise
        std::string life;                 // likewise: which one it is (Events::lifeOf)
        std::optional<WatchReader> reader;
        EventSource source;
        Heard heard;             // and not told of yet
        std::uint64_t cool = 0;  // when the cooldown ends that it is in, or of which something is still to be read; 0: none

        bool stale = false;        // what INSPECT found of the target holds no more
        bool absent = false;       // there was no such file
        bool blind = false;        // there was a descriptor, and then for a while none
        std::uint64_t pause = 0;   // before it is asked for anew
        std::uint64_t opened = 0;  // when it was last; 0: never
        bool isFile() const { return armed->event.on == "file-changed"; }
        bool counts() const { return reader && reader->opened().form == WatchForm::Counters; }
    };
    using Shared = std::shared_ptr<Watch>;
    // Of one event: where it is not heard of, and what of that is in the journal.
    struct Trouble {
        std::map<TargetId, Error> on;
        std::set<Errc> told;
        std::set<TargetId> beyond;  // for which there was no room
    };

    explicit Watches(const WatchParts& parts) : parts_(parts) {}

    // watches.cpp: which there are, and when they are due
    void add(const Armed& armed, const TargetId& target);
    void leave(const TargetId& target);
    void drop(Watch& watch);
    void close(Watch& watch);
    void schedule(Watch& watch, Doing doing, std::uint64_t due);
    void turn(Watch& watch);
    void armTimer();
    std::vector<Shared> ofTarget(const TargetId& id) const;
    static int onTime(sd_event_source* source, std::uint64_t now, void* self);

    // watch_asking.cpp: their descriptors
    void ask(Watch& watch);
    void askNext();
    void askLauncher(const Shared& watch, const Result<Target>& target);
    void answered(const Shared& watch, Result<OpenedWatch> opened);
    void open(Watch& watch, OpenedWatch opened);
    void refused(Watch& watch, const Error& why);
    void askAnew(Watch& watch);
    void note(const Watch& watch, const Error& why);
    void forget(const Key& key);

    // watch_telling.cpp: what they tell. Whatever is told may drop the watch, which its caller then holds.
    void listen(Watch& watch);
    void rest(Watch& watch, std::uint64_t records);
    static std::uint64_t beforeCool(const Watch& watch, std::uint64_t due);
    void silence(Watch& watch);
    void hear(Watch& watch, std::uint32_t events);
    void readOn(Watch& watch, std::uint32_t events);
    void act(Watch& watch);
    bool maySeeEntries(const std::string& capsule) const;
    Occurrence occurrenceOf(const Watch& watch, const Heard& heard) const;
    void tell(Watch& watch, const Heard& heard);
    void tellEarlier(Watch& watch, std::uint64_t total);
    void tellLast(Watch& watch, const std::string& why);
    void cameInCooldown(Watch& watch);
    void actedOn(const Watch& watch, std::uint64_t total);
    std::uint64_t killsActedOn(const Watch& watch, std::uint64_t total) const;
    static int onIo(sd_event_source* source, int fd, std::uint32_t events, void* watch);

    WatchParts parts_;
    std::vector<Armed> armed_;
    std::map<Key, Shared> watches_;
    std::map<Event, Trouble> troubles_;
    std::set<std::pair<std::uint64_t, Watch*>> due_;
    std::deque<Shared> toAsk_;
    std::set<TargetId> asked_;  // about these an answer is still to come
    bool asking_ = false;
    bool crowded_ = false;    // not all have room
    std::uint64_t room_ = 0;  // when they are looked for anew; 0: at no time
    EventSource timer_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // answers may come later than its end
};

}  // namespace recap
