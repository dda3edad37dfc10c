// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/streams.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr std::size_t kReplay = 8192;            // of each stream's last bytes, for who attaches later
constexpr std::uint64_t kOwnLog = 64u << 10;     // of a log, that the logs of others cannot take
constexpr std::uint64_t kMostRest = 1u << 20;    // in a pipe of the largest size
constexpr std::uint64_t kEndCheckUsec = 100000;  // a client that dies closes its write end first, and its read ends at once after

Result<std::array<UniqueFd, 2>> makePipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failErrno("pipe");
    return std::array<UniqueFd, 2>{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Each end of a pipe is a file of its own: the other side keeps its mode.
void unblock(const UniqueFd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

}  // namespace

Streams::Streams(Loop& loop, std::shared_ptr<StreamCounts> counts) : loop_(loop), counts_(std::move(counts)) {}

Streams::~Streams() {
    detach();
    while (!watched_.empty()) unwatch(watched_.begin()->first);
    if (terminal_) --counts_->terminals;
    counts_->logBytes -= logTaken_;
}

Result<void> Streams::open(const Plan& plan, std::vector<UniqueFd> given, std::array<UniqueFd, 3>& payload) {
    if (std::ranges::any_of(plan.stdio, [](Stdio kind) { return kind == Stdio::Log || kind == Stdio::Terminal; })) {
        auto log = OutputLog::make(plan.logMax);
        if (!log) return forward(std::move(log));
        log_ = std::move(*log);
    }
    if (plan.stdio[0] == Stdio::Terminal)
        if (auto opened = openTerminalFor(plan, payload); !opened) return opened;
    auto next = given.begin();
    for (std::size_t i = 0; i < 3; ++i) {
        Result<void> opened;
        if (plan.stdio[i] == Stdio::Given) payload[i] = std::move(*next++);
        if (plan.stdio[i] == Stdio::Null) payload[i].reset(::open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC));
        if (plan.stdio[i] == Stdio::Log) opened = openOutput(i - 1, payload[i]);
        if (plan.stdio[i] == Stdio::Pipe) opened = openInput(payload[i]);
        if (!opened) return opened;
        // or it could not open its own /dev/stdout
        if (plan.stdio[i] == Stdio::Log || plan.stdio[i] == Stdio::Pipe)
            static_cast<void>(::fchown(payload[i].get(), plan.uid, plan.gid) + 1);
        if ((plan.attached >> i & 1) != 0) join(i, std::move(*next++));
    }
    arrange();
    return {};
}

Result<void> Streams::openOutput(std::size_t which, UniqueFd& payload) {
    auto ends = makePipe();
    if (!ends) return forward(std::move(ends));
    unblock((*ends)[0]);
    outputs_[which].pipe = std::move((*ends)[0]);
    payload = std::move((*ends)[1]);
    return {};
}

Result<void> Streams::openInput(UniqueFd& payload) {
    auto ends = makePipe();
    if (!ends) return forward(std::move(ends));
    unblock((*ends)[1]);
    input_ = std::move((*ends)[1]);
    payload = std::move((*ends)[0]);
    return {};
}

Result<void> Streams::openTerminalFor(const Plan& plan, std::array<UniqueFd, 3>& payload) {
    if (counts_->terminals >= kMostTerminals)
        return fail(Errc::LimitExceeded, std::to_string(counts_->terminals) + " terminals are open; try again when a run has ended");
    auto terminal = openTerminal(plan.uid, plan.gid, plan.rows, plan.columns);
    if (!terminal) return forward(std::move(terminal));
    ++counts_->terminals;
    terminal_ = std::move(*terminal);
    for (auto& end : payload) end.reset(::fcntl(terminal_->slave.get(), F_DUPFD_CLOEXEC, 3));
    return {};
}

// Attached from the start.
void Streams::join(std::size_t stream, UniqueFd end) {
    if (stream == 0)
        typing_ = std::move(end);
    else
        outputs_[stream - 1].feed = Feed::open(loop_, counts_, std::move(end), [this] { feedChanged(); });
}

bool Streams::listening() const {
    return std::ranges::any_of(outputs_, [](const Output& output) { return output.feed != nullptr; });
}

bool Streams::attached() const { return typing_ || listening() || endCheck_; }

void Streams::detach() {
    if (endCheck_) loop_.cancel(*endCheck_);
    endCheck_.reset();
    if (typing_) unwatch(typing_.get());
    typing_.reset();
    for (auto& output : outputs_)
        if (const auto feed = std::exchange(output.feed, nullptr)) feed->end();
}

Result<std::array<UniqueFd, 3>> Streams::attach(bool takeOver, std::uint64_t replay) {
    if (sink() < 0 && source(0) < 0 && source(1) < 0)
        return fail(Errc::NotFound, "nothing of it can be attached to: its caller gave it descriptors, or it has closed its own");
    if (attached() && !takeOver) return fail(Errc::Busy, "somebody is attached; option 'take-over' detaches them");
    if (counts_->feeds + outputs_.size() > kMostFeeds)
        return fail(Errc::LimitExceeded, "too many runs are attached to; try again when somebody has detached");
    std::array<UniqueFd, 3> ends;
    std::array<UniqueFd, 3> own;
    for (std::size_t i = 0; i < 3; ++i) {
        int pair[2];
        // Not a pipe: a reader that takes its bytes into a page of a FUSE file's would hold it, and who writes to it.
        const int made = weakened(Threat::HangingMounts) ? ::pipe2(pair, O_CLOEXEC | O_NONBLOCK)
                                                         : ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
        if (made != 0) return failErrno("socketpair");
        ends[i].reset(pair[0]);
        own[i].reset(pair[1]);
    }
    detach();
    if (sink() >= 0 && !ending_) typing_ = std::move(own[0]);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        if (source(i) < 0) continue;
        outputs_[i].feed = Feed::open(loop_, counts_, std::move(own[i + 1]), [this] { feedChanged(); });
        const std::string_view last = outputs_[i].last;
        outputs_[i].feed->put(last.substr(last.size() - std::min<std::uint64_t>({replay, kReplay, last.size()})));
    }
    arrange();
    return ends;
}

Result<void> Streams::resize(std::uint32_t rows, std::uint32_t columns) {
    if (!terminal_ || !terminal_->master) return fail(Errc::InvalidArgument, "it has no terminal");
    return resizeTerminal(terminal_->master.get(), rows, columns);
}

void Streams::feedChanged() {
    for (auto& output : outputs_)
        if (output.feed && output.feed->gone()) output.feed = nullptr;
    if (!listening()) detach();
    arrange();
}

void Streams::take(std::size_t which, std::string_view bytes) {
    Output& output = outputs_[which];
    if (log_) {
        const std::uint64_t before = log_->kept();
        const std::uint64_t shared = counts_->mostLogBytes - std::min(counts_->logBytes, counts_->mostLogBytes);
        const std::uint64_t own = kOwnLog - std::min(before, kOwnLog);
        log_->append(static_cast<std::uint8_t>(which + 1), bytes.data(), bytes.size(), std::max(shared, own));
        counts_->logBytes += log_->kept() - before;
        logTaken_ += log_->kept() - before;
    }
    output.last += bytes.substr(bytes.size() - std::min(bytes.size(), kReplay));
    if (output.last.size() > 2 * kReplay) output.last.erase(0, output.last.size() - kReplay);
    if (!output.feed) return;
    output.feed->put(bytes);
    if (output.feed->gone()) feedChanged();
}

// One read. False at the end, or where there is nothing.
bool Streams::pump(std::size_t which) {
    static std::array<char, 65536> buffer;  // the supervisor has one thread
    const int fd = source(which);
    if (fd < 0) return false;
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size > 0) {
        take(which, {buffer.data(), static_cast<std::size_t>(size)});
        return true;
    }
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    unwatch(fd);
    if (terminal_)
        terminal_->master.reset();  // hung up
    else
        outputs_[which].pipe.reset();
    if (const auto feed = std::exchange(outputs_[which].feed, nullptr)) feed->end();
    return false;
}

void Streams::readTyping() {
    std::array<char, 4096> buffer;
    const ssize_t size = ::recv(typing_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size > 0) {
        typed_.assign(buffer.data(), static_cast<std::size_t>(size));
        writeTyped();
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        endTyping();
    }
    arrange();
}

void Streams::writeTyped() {
    const ssize_t size = ::write(sink(), typed_.data(), typed_.size());
    if (size < 0 && errno != EAGAIN && errno != EINTR) return endInput();
    typed_.erase(0, size > 0 ? static_cast<std::size_t>(size) : 0);
    if (typed_.empty() && ending_) endInput();
}

void Streams::endTyping() {
    unwatch(typing_.get());
    typing_.reset();
    if (terminal_) return;
    const auto passOn = [this] {
        ending_ = true;
        if (typed_.empty()) endInput();
        arrange();
    };
    if (!listening()) return passOn();
    endCheck_ = loop_.at(monotonicUsec() + kEndCheckUsec, [this, passOn] {
        endCheck_.reset();
        passOn();
    });
}

// Nobody takes any input any more; whoever writes some is told so.
void Streams::endInput() {
    typed_.clear();
    if (typing_) unwatch(typing_.get());
    typing_.reset();
    if (!input_) return;
    unwatch(input_.get());
    input_.reset();
}

void Streams::finish() {
    if (terminal_) terminal_->slave.reset();  // so that the master knows its end
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        // Its writers are dead; should one have passed the pipe on, a full pipe's worth is what it can hold back.
        const std::uint64_t before = logBytes();
        while (logBytes() - before < kMostRest && pump(i)) continue;
    }
    detach();
    endInput();
    while (!watched_.empty()) unwatch(watched_.begin()->first);
    for (auto& output : outputs_) output = {};
    if (terminal_) --counts_->terminals;
    terminal_.reset();
    counts_->logBytes -= std::exchange(logTaken_, 0);
}

void Streams::arrange() {
    const auto room = [this](std::size_t which) { return !outputs_[which].feed || !outputs_[which].feed->full(); };
    if (terminal_ && terminal_->master) {
        const std::uint32_t events = (room(0) ? std::uint32_t{EPOLLIN} : 0u) | (typed_.empty() ? 0u : std::uint32_t{EPOLLOUT});
        watch(terminal_->master.get(), events, [this](std::uint32_t ready) {
            if ((ready & ~EPOLLOUT) != 0) pump(0);
            if ((ready & EPOLLOUT) != 0 && !typed_.empty()) writeTyped();
            arrange();
        });
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i)
        if (outputs_[i].pipe)
            watch(outputs_[i].pipe.get(), room(i) ? std::uint32_t{EPOLLIN} : 0u, [this, i](std::uint32_t) {
                pump(i);
                arrange();
            });
    if (input_)
        watch(input_.get(), typed_.empty() ? 0u : std::uint32_t{EPOLLOUT}, [this](std::uint32_t) {
            writeTyped();
            arrange();
        });
    if (typing_) watch(typing_.get(), typed_.empty() ? std::uint32_t{EPOLLIN} : 0u, [this](std::uint32_t) { readTyping(); });
}

// Not at all where there is nothing to wait for: an end would be told again and again.
void Streams::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> handler) {
    const auto now = watched_.find(fd);
    if (events == 0 && now != watched_.end()) unwatch(fd);
    if (events == 0 || (now != watched_.end() && now->second == events)) return;
    if (now != watched_.end())
        loop_.change(fd, events);
    else if (!loop_.add(fd, events, std::move(handler)))
        return;
    watched_[fd] = events;
}

void Streams::unwatch(int fd) {
    if (watched_.erase(fd) != 0) loop_.remove(fd);
}

}  // namespace recap::launcher
