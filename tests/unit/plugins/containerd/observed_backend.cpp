// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/plugins/containerd/observed_backend.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

constexpr std::uint32_t kReady = 1;

plugin::Target targetFrom(const recap_target* from) {
    const auto text = [](recap_text one) { return std::string(plugin::detail::view(one)); };
    plugin::Target target;
    target.id = text(from->id);
    target.name = text(from->name);
    target.image = text(from->image);
    target.runtime = text(from->runtime);
    target.cgroup = text(from->cgroup);
    target.state = static_cast<plugin::TargetState>(from->state);
    target.pid = from->pid;
    target.startTime = from->start_time;
    for (std::uint32_t i = 0; i < from->label_count; ++i) target.labels[text(from->labels[i].key)] = text(from->labels[i].value);
    for (std::uint32_t i = 0; i < from->alias_count; ++i) target.aliases.push_back(text(from->aliases[i]));
    for (std::uint32_t i = 0; i < from->detail_count; ++i) target.details[text(from->details[i].key)] = text(from->details[i].value);
    return target;
}

}  // namespace

containerd::Options testOptions(const std::string& socket) {
    containerd::Options options;
    options.socket = socket;
    options.calls = {std::chrono::milliseconds(1500), std::chrono::milliseconds(1500)};
    options.secondLook = std::chrono::milliseconds(100);
    options.probe = std::chrono::milliseconds(200);
    options.firstRetry = std::chrono::milliseconds(20);
    options.longestRetry = std::chrono::milliseconds(200);
    return options;
}

ObservedBackend::ObservedBackend(containerd::Options options) : backend_(std::move(options)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    table_.size = sizeof table_;
    table_.stop_fd = stop_.get();
    table_.host = this;
    table_.snapshot_begin = [](void* host) {
        const std::lock_guard lock(of(host).mutex_);
        of(host).snapshot_.clear();
    };
    table_.snapshot_target = [](void* host, const recap_target* target) {
        const std::lock_guard lock(of(host).mutex_);
        auto kept = targetFrom(target);
        of(host).snapshot_[kept.id] = kept;
    };
    table_.snapshot_end = [](void* host) {
        const std::lock_guard lock(of(host).mutex_);
        of(host).targets_ = of(host).snapshot_;
        of(host).state_ = kReady;
        of(host).detail_.clear();
        ++of(host).snapshots_;
    };
    table_.added = table_.changed = [](void* host, const recap_target* target) { of(host).keep(target); };
    table_.removed = [](void* host, recap_text id) {
        const std::lock_guard lock(of(host).mutex_);
        of(host).targets_.erase(std::string(plugin::detail::view(id)));
    };
    table_.state = [](void* host, std::uint32_t state, recap_text detail) {
        const std::lock_guard lock(of(host).mutex_);
        of(host).state_ = state;
        of(host).detail_ = plugin::detail::view(detail);
    };
    table_.alive = [](void*) {};
    thread_ = std::thread([this] {
        plugin::Sink sink(&table_);
        backend_.run(sink);
    });
}

ObservedBackend::~ObservedBackend() { stop(); }

std::chrono::milliseconds ObservedBackend::stop() {
    const auto before = std::chrono::steady_clock::now();
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - before);
}

void ObservedBackend::keep(const recap_target* target) {
    const std::lock_guard lock(mutex_);
    auto kept = targetFrom(target);
    targets_[kept.id] = kept;
}

bool ObservedBackend::until(const std::function<bool()>& condition) { return waitUntil(condition, Deadline(kPatience)); }
bool ObservedBackend::untilTold(const std::string& id) {
    return until([&] { return told(id).has_value(); });
}
bool ObservedBackend::untilGone(const std::string& id) {
    return until([&] { return !told(id).has_value(); });
}
bool ObservedBackend::untilReady() {
    return until([&] { return state() == "ready"; });
}
bool ObservedBackend::untilState(std::uint32_t state, const std::string& detail) {
    return until([&] {
        const std::lock_guard lock(mutex_);
        return state_ == state && detail_.find(detail) != std::string::npos;
    });
}

std::optional<plugin::Target> ObservedBackend::told(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = targets_.find(id);
    return found == targets_.end() ? std::nullopt : std::optional(found->second);
}

std::size_t ObservedBackend::count() const {
    const std::lock_guard lock(mutex_);
    return targets_.size();
}

std::string ObservedBackend::state() const {
    const std::lock_guard lock(mutex_);
    return state_ == kReady ? "ready" : detail_;
}

int ObservedBackend::snapshots() const {
    const std::lock_guard lock(mutex_);
    return snapshots_;
}

template <class Body>
std::string ObservedBackend::said(Body body) {
    code.reset();
    try {
        body();
        return "";
    } catch (const plugin::Error& error) {
        code = error.code();
        return error.what();
    }
}

std::string ObservedBackend::find(const std::string& id) {
    plugin::Sink sink(&table_);
    return said([&] { backend_.find(sink, id); });
}

std::string ObservedBackend::exportTo(const std::string& reference, int out) {
    return said([&] { backend_.exportImage(reference, out, stop_.get()); });
}

}  // namespace recap::test
