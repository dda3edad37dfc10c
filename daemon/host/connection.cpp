// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/connection.hpp"

#include <fnmatch.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace recap::host {
namespace {

constexpr int kRecordsPerTurn = 64;       // then the loop's other work has its turn
constexpr std::size_t kMaxQueued = 4;     // searches behind the one under way: whoever may run must not keep a host busy
constexpr std::size_t kMaxMissing = 256;  // remembered
constexpr std::uint64_t kTimerAccuracy = 100'000;

EventSource ownSource(sd_event_source* source) { return EventSource(source); }

}  // namespace

HostConnection::HostConnection(sd_event* loop, std::string socketPath, PluginSetting setting, TargetSink& sink, HostTimes times,
                               IsOwn isOwn)
    : loop_(loop),
      path_(std::move(socketPath)),
      setting_(std::move(setting)),
      sink_(sink),
      times_(times),
      isOwn_(std::move(isOwn)),
      random_(std::random_device{}()),
      engine_(setting_) {
    status_.name = setting_.name;
    status_.plugin = setting_.plugin;
    status_.detail = "not yet connected";
    retry_ = times_.firstRetry;
}

void HostConnection::start() {
    sink_.state(status_);
    connect();
}

bool HostConnection::awaitEngine() {
    if (!engine_.isMissing()) return false;
    setState(BackendState::Waiting, "no socket at " + engine_.path());
    timer_.reset();
    if (!engine_.watch(loop_, [this] { connect(); })) armTimer(times_.longestRetry);
    return engine_.isMissing();  // it may have come between the look and the watch
}

void HostConnection::connect() {
    if (awaitEngine()) return;
    engine_.forget();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path)
        return setState(BackendState::Unavailable, "socket '" + path_ + "': longer than a socket's path may be");
    path_.copy(address.sun_path, path_.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return disconnect(failErrno("socket").value().message);
    const int on = 1;  // each record comes with its sender's pid: a socket unit's peer would be systemd
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return disconnect(failErrno("SO_PASSCRED").value().message);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return disconnect(failErrno("connect to plugin host at " + path_).value().message);
    sd_event_source* source = nullptr;
    const auto onReadable = [](sd_event_source*, int, std::uint32_t, void* self) {
        auto& connection = *static_cast<HostConnection*>(self);
        for (int i = 0; i < kRecordsPerTurn && connection.fd_ && connection.receive(); ++i) {
        }
        return 0;
    };
    const int error = sd_event_add_io(loop_, &source, fd.get(), EPOLLIN, onReadable, this);
    if (error < 0) return disconnect(failErrno("watch " + path_, -error).value().message);
    readable_ = ownSource(source);
    fd_ = std::move(fd);
    lastNumber_ = 0;
    greeted_ = trusted_ = saidWhy_ = false;
    snapshot_.reset();
    pingDeadline_ = 0;
    nextPing_ = monotonicMicroseconds() + times_.ping;
    armForDeadlines();
}

// Targets stay known meanwhile: their processes do not end with a host. The next snapshot replaces them.
void HostConnection::disconnect(const std::string& why) {
    readable_.reset();
    fd_.reset();
    hostPid_ = 0;
    snapshot_.reset();
    missing_.clear();
    if (!std::exchange(saidWhy_, false)) setState(BackendState::Unavailable, why);
    const std::uint64_t delay = retry_ / 2 + random_() % (retry_ / 2 + 1);
    retry_ = std::min(retry_ * 2, times_.longestRetry);
    armTimer(delay);
    failAsked(why);
}

void HostConnection::close(const std::string& why) {
    readable_.reset();
    timer_.reset();
    fd_.reset();
    failAsked(why);
}

void HostConnection::failAsked(const std::string& why) {
    auto failed = std::exchange(queued_, {});
    if (asked_) failed.push_front(std::move(*std::exchange(asked_, std::nullopt)));
    const auto exported = std::exchange(exported_, {});
    for (auto& search : failed)
        for (auto& reply : search.replies) reply(fail(Errc::Unavailable, setting_.name + ": " + why));
    if (exported) exported(fail(Errc::Unavailable, why));
}

void HostConnection::setState(BackendState state, std::string detail) {
    if (status_.state == state && status_.detail == detail) return;
    status_.state = state;
    status_.detail = std::move(detail);
    status_.targets = known_.size();
    sink_.state(status_);
}

void HostConnection::armTimer(std::uint64_t delay) {
    sd_event_source* source = nullptr;
    const auto onTimer = [](sd_event_source*, std::uint64_t, void* self) {
        static_cast<HostConnection*>(self)->onTime();
        return 0;
    };
    sd_event_add_time_relative(loop_, &source, CLOCK_MONOTONIC, delay, std::min(kTimerAccuracy, delay), onTimer, this);
    timer_ = ownSource(source);
}

void HostConnection::armForDeadlines() {
    std::uint64_t next = pingDeadline_ != 0 ? pingDeadline_ : nextPing_;
    if (asked_) next = std::min(next, searchDeadline_);
    const std::uint64_t now = monotonicMicroseconds();
    armTimer(next > now ? next - now : 0);
}

void HostConnection::onTime() {
    if (!fd_) return connect();
    const std::uint64_t now = monotonicMicroseconds();
    if (pingDeadline_ != 0 && pingDeadline_ <= now) return disconnect("plugin host does not answer");
    if (pingDeadline_ == 0 && nextPing_ <= now) {
        if (!send(Ping{++pingNonce_})) return;
        pingDeadline_ = now + times_.answer;
    }
    if (asked_ && searchDeadline_ <= now) giveUpSearch();
    if (fd_) armForDeadlines();
}

bool HostConnection::send(const ToHost& record, int descriptor) {
    std::string bytes = encode(record);
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (descriptor >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        *rights = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    }
    if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size())) return true;
    disconnect(errno == EAGAIN ? "plugin host does not read" : failErrno("send to plugin host").value().message);
    return false;
}

bool HostConnection::receive() {
    std::array<char, kMaxRecord> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
    iovec bytes{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(fd_.get(), &message, MSG_TRUNC | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
        disconnect(got == 0 ? "plugin host has ended" : failErrno("read from plugin host").value().message);
        return false;
    }
    if (static_cast<std::size_t>(got) > buffer.size()) {
        disconnect("plugin host sent a record of " + std::to_string(got) + " bytes; the most is " + std::to_string(buffer.size()));
        return false;
    }
    const cmsghdr* sender = CMSG_FIRSTHDR(&message);
    if (sender != nullptr && sender->cmsg_level == SOL_SOCKET && sender->cmsg_type == SCM_CREDENTIALS) {
        ucred credentials{};
        std::memcpy(&credentials, CMSG_DATA(sender), sizeof credentials);
        hostPid_ = credentials.pid;
    }
    auto accepted = accept({buffer.data(), static_cast<std::size_t>(got)});
    if (!accepted) disconnect("plugin host sent " + accepted.error().message);
    return accepted.has_value() && fd_;
}

Result<void> HostConnection::accept(std::string_view bytes) {
    auto numbered = decodeFromHost(bytes);
    if (!numbered) return forward(std::move(numbered));
    const bool next = numbered->number == lastNumber_ + 1;
    if (numbered->number <= lastNumber_)
        return fail(Errc::InvalidArgument, "record " + std::to_string(numbered->number) + " after " + std::to_string(lastNumber_));
    lastNumber_ = numbered->number;
    if (!greeted_ && !std::holds_alternative<Hello>(numbered->record)) return fail(Errc::InvalidArgument, "no greeting");
    if (!next) gap("records are missing before " + std::to_string(numbered->number));
    if (!fd_) return {};
    return std::visit([this](auto&& record) { return handle(std::forward<decltype(record)>(record)); }, std::move(numbered->record));
}

// Something was missed: nothing counts until a whole snapshot.
void HostConnection::gap(const std::string& why) {
    snapshot_.reset();
    trusted_ = false;
    setState(BackendState::Waiting, why + "; asked for a new snapshot");
    send(Resync{});
}

bool HostConnection::owns(const TargetRecord& record) const {
    if (isOwn_(record)) return false;
    if (setting_.cgroups.empty()) return true;
    return std::any_of(setting_.cgroups.begin(), setting_.cgroups.end(),
                       [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), record.cgroup.c_str(), 0) == 0; });
}

std::optional<Target> HostConnection::toTarget(TargetRecord&& record) {
    if (record.state != TargetState::Stopped && (record.pid == 0 || record.startTime == 0 || !owns(record))) return std::nullopt;
    Target target;
    target.id = {setting_.name, std::move(record.id)};
    target.name = std::move(record.name);
    target.image = std::move(record.image);
    target.runtime = std::move(record.runtime);
    target.labels = std::move(record.labels);
    target.aliases = std::move(record.aliases);
    target.details = std::move(record.details);
    target.state = record.state;
    target.pid = record.pid;
    target.startTime = record.startTime;
    target.cgroup = std::move(record.cgroup);
    return target;
}

Result<void> HostConnection::handle(Hello&& record) {
    if (greeted_) return fail(Errc::InvalidArgument, "a second greeting");
    greeted_ = true;
    if (!record.plugin.empty() && record.plugin != setting_.plugin)
        return fail(Errc::InvalidArgument, "plugin '" + record.plugin + "'; recapd.toml says '" + setting_.plugin + "'");
    setState(BackendState::Waiting, "no snapshot yet");
    return {};
}

Result<void> HostConnection::handle(SnapshotBegin&&) {
    snapshot_.emplace();
    return {};
}

Result<void> HostConnection::handle(SnapshotTarget&& record) {
    if (!snapshot_) {
        if (trusted_) return fail(Errc::InvalidArgument, "a target of no snapshot");
        return {};
    }
    if (snapshot_->ids.size() >= kMaxTargets) return fail(Errc::LimitExceeded, "more than " + std::to_string(kMaxTargets) + " targets");
    if (!snapshot_->ids.insert(record.target.id).second)
        return fail(Errc::InvalidArgument, "'" + record.target.id + "' twice in a snapshot");
    if (auto target = toTarget(std::move(record.target))) snapshot_->targets.push_back(std::move(*target));
    return {};
}

Result<void> HostConnection::handle(SnapshotEnd&& record) {
    if (!snapshot_) return {};
    if (record.count != snapshot_->ids.size()) {
        gap("a snapshot said " + std::to_string(record.count) + " targets and had " + std::to_string(snapshot_->ids.size()));
        return {};
    }
    known_.clear();
    for (const auto& target : snapshot_->targets) known_.insert(target.id.id);
    auto targets = std::move(snapshot_->targets);
    snapshot_.reset();
    trusted_ = true;
    retry_ = times_.firstRetry;
    sink_.snapshot(setting_.name, std::move(targets));
    setState(BackendState::Ready, "");
    return {};
}

Result<void> HostConnection::update(TargetRecord&& record) {
    if (!trusted_) return {};
    if (!known_.contains(record.id) && known_.size() >= kMaxTargets)
        return fail(Errc::LimitExceeded, "more than " + std::to_string(kMaxTargets) + " targets");
    const TargetId id{setting_.name, record.id};
    if (auto target = toTarget(std::move(record))) {
        known_.insert(id.id);
        sink_.added(std::move(*target));
    } else if (known_.erase(id.id) > 0) {
        sink_.removed(id);
    }
    return {};
}

Result<void> HostConnection::handle(Added&& record) { return update(std::move(record.target)); }
Result<void> HostConnection::handle(Changed&& record) { return update(std::move(record.target)); }

Result<void> HostConnection::handle(Removed&& record) {
    if (trusted_ && known_.erase(record.id) > 0) sink_.removed({setting_.name, record.id});
    return {};
}

Result<void> HostConnection::handle(StateRecord&& record) {
    if (record.state == BackendState::Ready && !trusted_) return {};  // the snapshot says it
    saidWhy_ = record.state == BackendState::Unavailable;
    setState(record.state, std::move(record.detail));
    return {};
}

Result<void> HostConnection::handle(Found&& record) {
    if (!asked_ || record.request != request_) return {};  // given up meanwhile
    const Search search = std::move(*std::exchange(asked_, std::nullopt));
    const Result<void> answer = record.error == Errc::None ? Result<void>() : fail(record.error, setting_.name + ": " + record.message);
    if (record.error == Errc::NotFound) {
        if (missing_.size() >= kMaxMissing) missing_.clear();
        missing_.insert_or_assign(search.id, Missing{answer.error(), monotonicMicroseconds() + times_.missing});
    }
    askNext();
    for (const auto& reply : search.replies) reply(answer);
    return {};
}

Result<void> HostConnection::handle(Pong&& record) {
    if (pingDeadline_ == 0 || record.nonce != pingNonce_) return {};
    pingDeadline_ = 0;
    nextPing_ = monotonicMicroseconds() + times_.ping;
    armForDeadlines();
    return {};
}

Result<void> HostConnection::handle(Exported&& record) {
    if (!exported_ || record.request != exportRequest_) return {};
    const auto reply = std::exchange(exported_, {});
    reply(record.error == Errc::None ? Result<void>() : fail(record.error, std::move(record.message)));
    return {};
}

void HostConnection::exportImage(const std::string& reference, UniqueFd out, Reply reply) {
    if (!fd_ || !greeted_) return reply(fail(Errc::Unavailable, status_.detail));
    if (reference.empty() || reference.size() > kMaxText || !isCleanText(reference))
        return reply(fail(Errc::InvalidArgument, "'" + cleanText(reference, kMaxId) + "' is no image's name"));
    if (exported_) return reply(fail(Errc::Busy, "another image is being exported; try again when that has ended"));
    exported_ = std::move(reply);
    send(Export{++exportRequest_, reference}, out.get());
}

void HostConnection::find(const std::string& id, Reply reply) {
    const std::string who = setting_.name + ": ";
    if (!fd_ || !greeted_) return reply(fail(Errc::Unavailable, who + status_.detail));
    if (id.empty() || id.size() > kMaxId || !isCleanText(id))
        return reply(fail(Errc::NotFound, who + "no target '" + cleanText(id, kMaxId) + "'"));
    if (const auto missing = missing_.find(id); missing != missing_.end()) {
        if (missing->second.until > monotonicMicroseconds()) return reply(tl::unexpected(missing->second.error));
        missing_.erase(missing);
    }
    if (asked_ && asked_->id == id) return asked_->replies.push_back(std::move(reply));
    const auto same = std::find_if(queued_.begin(), queued_.end(), [&](const Search& search) { return search.id == id; });
    if (same != queued_.end()) return same->replies.push_back(std::move(reply));
    if (queued_.size() >= kMaxQueued)
        return reply(
            fail(Errc::Busy, who + std::to_string(kMaxQueued) + " searches wait already; '" + id + "' is not looked for, try again later"));
    queued_.push_back({id, {}});
    queued_.back().replies.push_back(std::move(reply));
    askNext();
}

void HostConnection::askNext() {
    if (asked_ || queued_.empty() || !fd_) return;
    asked_ = std::move(queued_.front());
    queued_.pop_front();
    searchDeadline_ = monotonicMicroseconds() + times_.answer;
    if (send(Find{++request_, asked_->id})) armForDeadlines();
}

// A search that takes too long is that search's failure: the host's other work goes on.
void HostConnection::giveUpSearch() {
    const Search late = std::move(*std::exchange(asked_, std::nullopt));
    askNext();
    for (const auto& reply : late.replies) reply(fail(Errc::Timeout, setting_.name + ": no answer about '" + late.id + "' in time"));
}

}  // namespace recap::host
