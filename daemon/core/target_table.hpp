// SPDX-License-Identifier: Apache-2.0
// Every target that backends have told of, so that a run asks no engine anything. On the loop.
//
// Several backends may tell of one container: Docker's are also in containerd's namespace "moby", and the process backend sees
// all. Where two targets are one process, that of the backend that knows most about it is *the* target (kubernetes, docker,
// containerd, any other, process); the others are further words for it: they resolve to it and are not listed.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/backend.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/launcher.hpp"
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
    virtual void backendChanged(const BackendStatus& status) = 0;
};

class TargetTable final : public TargetSink {
public:
    using Ready = std::function<void(Result<Target>)>;

    TargetTable(sd_event* loop, Launcher& launcher) : loop_(loop), launcher_(launcher) {}
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
    struct Entry {
        TargetTable* table = nullptr;
        Target target;
        Error problem{Errc::None, {}};  // why it cannot be run on
        EventSource watch;              // its pidfd
        std::vector<Ready> waiting;
        bool asked = false;  // INSPECT is under way
        bool shown = false;  // listed: no better backend tells of the same process
    };

    void insert(Target target);
    void place(Entry entry);
    unsigned rankOf(const std::string& backend) const;
    std::vector<const Target*> sameProcess(const Target& target) const;
    const Target* shownOf(const Target* target) const;
    void settle(const std::vector<const Target*>& same);
    void settleOthers(const Entry& gone, pid_t pid, std::uint64_t startTime);
    void endOf(const TargetId& id);
    void erase(const TargetId& id, const Error& why);
    std::vector<const Target*> withId(const std::string& backend, const std::string& id) const;
    void update(Entry& entry, Target target);
    Result<void> pin(Entry& entry);
    void drop(const TargetId& id, const Error& why);
    void want(Entry& entry, bool urgent);
    void askNext();
    void inspected(const TargetId& id, const std::shared_ptr<UniqueFd>& pidfd, Result<TargetFacts> facts);
    void search(const std::string& text, std::vector<TargetId> wanted, Error missing, Ready ready);
    void ready(const TargetId& id, Ready ready);
    static int onEnded(sd_event_source* source, int fd, std::uint32_t events, void* self);

    sd_event* loop_;
    Launcher& launcher_;
    TargetFinder* finder_ = nullptr;
    Tenants tenants_;
    std::vector<TargetListener*> listeners_;
    std::map<TargetId, Entry> entries_;
    TargetIndex index_;
    std::map<std::string, BackendStatus> backends_;
    std::deque<TargetId> toInspect_;
    unsigned inspecting_ = 0;
};

}  // namespace recap
