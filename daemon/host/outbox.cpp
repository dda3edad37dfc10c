// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/outbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdio>
#include <system_error>
#include <utility>

namespace recap::host {
namespace {

// A snapshot to recapd takes one entry a target; changes may queue behind it.
constexpr std::size_t kMaxChanges = kMaxTargets + 1024;

std::string_view view(recap_text text) {
    return text.size == 0 || text.data == nullptr ? std::string_view() : std::string_view(text.data, text.size);
}

// The plugin's record as ours. Reads only what the plugin's own size covers; none: it has no usable id.
std::optional<TargetRecord> fromPlugin(const recap_target* from) {
    constexpr std::size_t kKnown =
        offsetof(recap_target, labels) + sizeof(from->labels);  // NOLINT(bugprone-sizeof-expression): the pointer's
    if (from == nullptr || from->size < kKnown) return std::nullopt;
    if (from->id.size == 0 || from->id.size > kMaxId || from->pid < 0 || from->state > RECAP_TARGET_STOPPED) return std::nullopt;
    TargetRecord target;
    target.id = view(from->id);
    target.name = view(from->name);
    target.image = view(from->image);
    target.runtime = view(from->runtime);
    target.cgroup = view(from->cgroup);
    target.state = static_cast<TargetState>(from->state);
    target.pid = from->pid;
    target.startTime = from->start_time;
    for (std::uint32_t i = 0; from->labels != nullptr && i < from->label_count; ++i)
        target.labels.emplace(view(from->labels[i].key), view(from->labels[i].value));
    constexpr std::size_t kSince11 = offsetof(recap_target, detail_count) + sizeof(from->detail_count);
    if (from->size >= kSince11) {
        for (std::uint32_t i = 0; from->aliases != nullptr && i < from->alias_count; ++i)
            target.aliases.emplace_back(view(from->aliases[i]));
        for (std::uint32_t i = 0; from->details != nullptr && i < from->detail_count; ++i)
            target.details.emplace(view(from->details[i].key), view(from->details[i].value));
    }
    makeFit(target);
    return target;
}

}  // namespace

Outbox::Outbox() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void Outbox::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);  // full: readable already
}

void Outbox::clearWake() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
}

void Outbox::snapshotBegin() {
    const std::lock_guard lock(mutex_);
    staged_.emplace();
}

void Outbox::snapshotTarget(TargetRecord target) {
    const std::lock_guard lock(mutex_);
    if (staged_) staged_->insert(target.id);
    put(std::move(target));
}

void Outbox::snapshotEnd() {
    const std::lock_guard lock(mutex_);
    if (!staged_) return;
    for (auto it = table_.begin(); it != table_.end();) {
        const std::string id = (it++)->first;
        if (!staged_->contains(id)) drop(id);
    }
    staged_.reset();
    if (!ready_) resync_ = true;
    ready_ = true;
    setState({BackendState::Ready, ""});
    wake();
}

void Outbox::added(TargetRecord target) {
    const std::lock_guard lock(mutex_);
    if (staged_) staged_->insert(target.id);
    put(std::move(target));
}

void Outbox::removed(const std::string& id) {
    const std::lock_guard lock(mutex_);
    if (staged_) staged_->erase(id);
    drop(id);
}

void Outbox::state(BackendState state, std::string detail) {
    const std::lock_guard lock(mutex_);
    setState({state, cleanText(detail, kMaxText)});
}

void Outbox::reply(FromHost record) {
    const std::lock_guard lock(mutex_);
    replies_.push_back(std::move(record));
    wake();
}

void Outbox::greet(Hello hello) {
    const std::lock_guard lock(mutex_);
    hello_ = std::move(hello);
    wake();
}

void Outbox::resync() {
    const std::lock_guard lock(mutex_);
    resync_ = ready_;
    wake();
}

void Outbox::setState(StateRecord state) {
    if (last_ == state) return;
    last_ = state_ = std::move(state);
    wake();
}

void Outbox::put(TargetRecord target) {
    const auto old = table_.find(target.id);
    if (old == table_.end() && table_.size() >= kMaxTargets) {
        if (!overfull_) std::fprintf(stderr, "<4>more than %zu targets: the rest is left out\n", kMaxTargets);
        overfull_ = true;
        return;
    }
    if (old != table_.end() && old->second == target) return;
    note(old == table_.end() ? Change::Added : Change::Changed, target.id);
    table_[target.id] = std::move(target);
}

void Outbox::drop(const std::string& id) {
    if (table_.erase(id) > 0) note(Change::Removed, id);
}

void Outbox::note(Change change, std::string id) {
    if (!ready_ || resync_) return;  // the snapshot to come has it
    if (changes_.size() >= kMaxChanges) {
        resync_ = true;
    } else {
        changes_.push_back({change, std::move(id)});
    }
    wake();
}

void Outbox::startSnapshot() {
    resync_ = false;
    state_ = last_;  // a snapshot says "ready" to recapd, which may not be the last word
    told_ = 0;
    changes_.clear();
    changes_.push_back({Change::Begin, ""});
    for (const auto& [id, target] : table_) changes_.push_back({Change::InSnapshot, id});
    changes_.push_back({Change::End, ""});
}

std::optional<FromHost> Outbox::takeChange() {
    const Pending pending = std::move(changes_.front());
    changes_.pop_front();
    if (pending.change == Change::Begin) return SnapshotBegin{};
    if (pending.change == Change::End) return SnapshotEnd{told_};
    if (pending.change == Change::Removed) return Removed{pending.id};
    const auto found = table_.find(pending.id);
    if (found == table_.end()) return std::nullopt;  // its Removed follows
    if (pending.change == Change::Added) return Added{found->second};
    if (pending.change == Change::Changed) return Changed{found->second};
    ++told_;
    return SnapshotTarget{found->second};
}

std::optional<std::string> Outbox::next() {
    const std::lock_guard lock(mutex_);
    if (hello_) return encode(++number_, *std::exchange(hello_, std::nullopt));
    if (resync_) startSnapshot();
    while (!changes_.empty()) {
        if (auto record = takeChange()) return encode(++number_, *record);
    }
    if (state_) return encode(++number_, *std::exchange(state_, std::nullopt));
    if (replies_.empty()) return std::nullopt;
    const FromHost record = std::move(replies_.front());
    replies_.pop_front();
    return encode(++number_, record);
}

SinkTable::SinkTable(Outbox& outbox, int stopFd, void (*onAlive)(void*), void* onAliveSelf)
    : outbox_(outbox), onAlive_(onAlive), onAliveSelf_(onAliveSelf) {
    table_.size = sizeof table_;
    table_.stop_fd = stopFd;
    table_.host = this;
    table_.snapshot_begin = [](void* host) { of(host).outbox_.snapshotBegin(); };
    table_.snapshot_target = [](void* host, const recap_target* target) {
        if (auto record = fromPlugin(target)) of(host).outbox_.snapshotTarget(std::move(*record));
    };
    table_.snapshot_end = [](void* host) { of(host).outbox_.snapshotEnd(); };
    table_.added = [](void* host, const recap_target* target) {
        if (auto record = fromPlugin(target)) of(host).outbox_.added(std::move(*record));
    };
    table_.changed = table_.added;
    table_.removed = [](void* host, recap_text id) { of(host).outbox_.removed(std::string(view(id))); };
    table_.state = [](void* host, std::uint32_t state, recap_text detail) {
        of(host).outbox_.state(state == RECAP_BACKEND_WAITING ? BackendState::Waiting : BackendState::Unavailable,
                               std::string(view(detail)));
    };
    table_.alive = [](void* host) { of(host).onAlive_(of(host).onAliveSelf_); };
}

}  // namespace recap::host
