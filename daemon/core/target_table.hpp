// SPDX-License-Identifier: Apache-2.0
// Every target that backends have told of, so that a run asks no engine anything. On the loop.
//
// Several backends may tell of one container: Docker's are also in containerd's namespace "moby", and the process backend sees
// all. Where two targets are one process, that of the backend that knows most about it is *the* target (kubernetes, docker,
// containerd, any other, process); the others are further words for it: they resolve to it and are not listed. These are kept packed:
// where three backends tell of thousands of containers, most of what is known is of this kind.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "daemon/core/backend.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/launcher.hpp"
#include "daemon/core/packed_target.hpp"
#include "daemon/core/process_ends.hpp"
#include "daemon/core/target.hpp"
#include "daemon/core/target_index.hpp"
#include "daemon/core/tenants.hpp"
#include "sdk/base/result.hpp"

namespace recap {

class TargetListener {
public:
    virtual ~TargetListener() = default;
    virtual void targetAdded(const Target& target) = 0;  // once a life, but where a better backend tells of it later
    virtual void targetRemoved(const TargetId& id) = 0;
    // The same life, by other words: what a selector looks at is something else. A backend may tell of it before it knows all.
    virtual void targetChanged(const Target&) {}
    virtual void backendChanged(const BackendStatus& status) = 0;
};

class TargetTable final : public TargetSink {
public:
    using Ready = std::function<void(Result<Target>)>;

    TargetTable(sd_event* loop, Launcher& launcher) : launcher_(launcher), ends_(loop, [this](void* entry) { ended(entry); }) {}
    TargetTable(const TargetTable&) = delete;
    TargetTable& operator=(const TargetTable&) = delete;

    void listen(TargetListener& listener) { listeners_.push_back(&listener); }  // lives as long as the table
    void findWith(TargetFinder& finder) { finder_ = &finder; }                  // likewise

    void snapshot(const std::string& backend, std::vector<Target> targets) override;
    void added(Target target) override;
    void removed(const TargetId& id) override;
    void state(BackendStatus status) override;
    void forgotten(const std::string& backend) override;

    // "BACKEND:ID", "BACKEND:NAME" (or alias), either with an id's first 12 hex digits or more, or the same without a backend. An id
    // wins over a name, a name over a prefix, a prefix over an alias; a name that a process gave itself yields to every other, and digits
    // of the process backend are a pid only. NotFound and Ambiguous say what there is.
    Result<const Target*> resolve(std::string_view text) const;
    // Resolves, finds a pid that no snapshot has, and waits for INSPECT; may answer from inside the call. What it hands
    // over has a pidfd and facts. TargetGone where the target ends meanwhile, Unavailable where the launcher is away.
    void whenReady(const std::string& text, Ready ready);
    // Forgets what INSPECT found of that target and asks anew: a first process may take another identity, or move. Answers as
    // whenReady() does.
    void refresh(const TargetId& id, Ready ready);
    // The launcher has (re)connected: what could not be inspected is asked about.
    void launcherConnected();

    // Whose each target is, from now on.
    void keep(Tenants tenants);

    std::vector<const Target*> list() const;
    // How other backends call this target.
    std::vector<TargetId> others(const Target& target) const;
    std::vector<BackendStatus> backends() const;

private:
    struct Whole {
        Target target;
        Error problem{Errc::None, {}};  // why it cannot be run on
        ProcessEnds::Watch watch;       // its pidfd, where it is shown
        std::vector<Ready> waiting;
        bool asked = false;  // INSPECT is under way
        bool shown = false;  // listed: no better backend tells of the same process
    };
    // Shown, and whole; or packed, as what is not shown is once it is settled.
    struct Entry {
        std::unique_ptr<Whole> whole;
        PackedTarget packed;
        std::shared_ptr<UniqueFd> pidfd;  // of a packed one: that of the one which is shown

        bool shown() const { return whole && whole->shown; }
        const std::shared_ptr<UniqueFd>& pinned() const { return whole ? whole->target.pidfd : pidfd; }
    };
    friend TargetWords wordsOf(const Entry& entry) { return entry.whole ? recap::wordsOf(entry.whole->target) : entry.packed.words(); }
    friend std::vector<std::string_view> aliasesOf(const Entry& entry) {
        return entry.whole ? recap::aliasesOf(entry.whole->target) : entry.packed.aliases();
    }
    struct ById {
        using is_transparent = void;
        using Name = std::tuple<std::string_view, std::string_view>;
        static Name of(const std::unique_ptr<Entry>& entry) {
            const TargetWords words = wordsOf(*entry);
            return {words.backend, words.id};
        }
        static Name of(const TargetId& id) { return {id.backend, id.id}; }
        bool operator()(const auto& a, const auto& b) const { return of(a) < of(b); }
    };

    static Error goneError(const TargetId& id);
    void insert(Target target);
    void place(Target target);
    Entry* find(const TargetId& id) const;
    bool hasTooMany(const Target& target) const;
    unsigned rankOf(std::string_view backend) const;
    std::vector<Entry*> sameProcess(const Entry& entry) const;
    std::vector<Entry*> ofLife(pid_t pid, std::uint64_t startTime) const;
    Entry& shownOf(Entry& entry) const;
    void settle(const std::vector<Entry*>& same);
    void settleOthers(const Entry& gone, pid_t pid, std::uint64_t startTime);
    void tellChanged(const Entry& entry);
    void show(Entry& entry);
    void hide(Entry& entry, Entry& better);
    static void pack(Entry& entry);
    void unpack(Entry& entry);
    void unpackFirst(const std::vector<Entry*>& same);
    void ended(void* entry);
    void endOf(const Entry& entry);
    void erase(const TargetId& id, const Error& why);
    std::vector<Entry*> withId(const std::string& backend, const std::string& id) const;
    void update(Entry& entry, Target target);
    static Result<void> pin(Target& target);
    Result<void> watch(Entry& entry);
    void drop(const TargetId& id, const Error& why);
    void want(Whole& whole, bool urgent);
    void askNext();
    void inspected(const TargetId& id, const std::shared_ptr<UniqueFd>& pidfd, Result<TargetFacts> facts);
    void search(const std::string& text, std::vector<TargetId> wanted, Error missing, Ready ready);
    void ready(Whole& whole, Ready ready);

    Launcher& launcher_;
    ProcessEnds ends_;  // before those that are watched
    TargetFinder* finder_ = nullptr;
    Tenants tenants_;
    std::vector<TargetListener*> listeners_;
    std::set<std::unique_ptr<Entry>, ById> entries_;
    IndexOf<Entry> index_;
    std::map<std::string, BackendStatus> backends_;
    std::deque<TargetId> toInspect_;
    unsigned inspecting_ = 0;
};

}  // namespace recap
