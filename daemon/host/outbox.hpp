// SPDX-License-Identifier: Apache-2.0
// Between a plugin's threads and the host's main thread: what the plugin told (the table of its targets) and what recapd
// has yet to hear of it. Never blocks a plugin; where recapd is slow, single changes are dropped for a new snapshot.
#pragma once

#include <recap/plugin.h>

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "daemon/host/wire.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::host {

class Outbox {
public:
    Outbox();

    // Any thread.
    void snapshotBegin();
    void snapshotTarget(TargetRecord target);
    void snapshotEnd();
    void added(TargetRecord target);
    void removed(const std::string& id);
    void state(BackendState state, std::string detail);
    void reply(FromHost record);  // Found, Pong: after all changes told before it

    // Main thread.
    void greet(Hello hello);                    // before anything else
    void resync();                              // recapd asks for the whole picture
    std::optional<std::string> next();          // the next record's bytes, numbered; none: all is told
    int wakeFd() const { return wake_.get(); }  // readable when next() may have something
    void clearWake();

private:
    enum class Change : std::uint8_t { Begin, InSnapshot, End, Added, Changed, Removed };
    struct Pending {
        Change change;
        std::string id;
    };

    void put(TargetRecord target);             // locked
    void drop(const std::string& id);          // locked
    void note(Change change, std::string id);  // locked
    void startSnapshot();                      // locked
    std::optional<FromHost> takeChange();      // locked
    void setState(StateRecord state);          // locked; says nothing twice
    void wake();

    std::mutex mutex_;
    UniqueFd wake_;
    std::map<std::string, TargetRecord> table_;
    std::optional<std::set<std::string>> staged_;  // ids seen in the plugin's snapshot under way
    std::deque<Pending> changes_;
    std::deque<FromHost> replies_;
    std::optional<Hello> hello_;
    std::optional<StateRecord> state_;  // to be told
    std::optional<StateRecord> last_;   // told, or to be told
    bool ready_ = false;                // the first snapshot is complete
    bool resync_ = false;               // the next thing to tell is the whole picture
    bool overfull_ = false;             // said that targets are left out
    std::uint32_t told_ = 0;            // targets of the snapshot under way to recapd
    std::uint64_t number_ = 0;          // of the last record
};

// The C table over an Outbox. `onAlive` is called on the plugin's thread.
class SinkTable {
public:
    SinkTable(Outbox& outbox, int stopFd, void (*onAlive)(void*), void* onAliveSelf);
    SinkTable(const SinkTable&) = delete;
    SinkTable& operator=(const SinkTable&) = delete;
    const recap_backend_sink* table() const { return &table_; }

private:
    static SinkTable& of(void* host) { return *static_cast<SinkTable*>(host); }

    Outbox& outbox_;
    void (*onAlive_)(void*);
    void* onAliveSelf_;
    recap_backend_sink table_{};
};

}  // namespace recap::host
