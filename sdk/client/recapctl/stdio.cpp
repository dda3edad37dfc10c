// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/stdio.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

namespace {

constexpr char kEndOfFile = 4;  // Ctrl-D

enum class Kind { Closed, Passable, Pumped };

bool isNull(const struct stat& about) { return S_ISCHR(about.st_mode) && about.st_rdev == makedev(1, 3); }

Kind kindOf(int fd, struct stat& about) {
    if (::fstat(fd, &about) != 0) return Kind::Closed;
    if (S_ISFIFO(about.st_mode) || isNull(about)) return Kind::Passable;
    return S_ISDIR(about.st_mode) ? Kind::Closed : Kind::Pumped;
}

struct PipeEnds {
    recap::UniqueFd read, write;
};
recap::Result<PipeEnds> makePipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return recap::failErrno("pipe");
    return PipeEnds{recap::UniqueFd(ends[0]), recap::UniqueFd(ends[1])};
}

// For a terminal, whose other end the launcher holds: it takes no pipe.
recap::Result<PipeEnds> makeSockets() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return recap::failErrno("socketpair");
    return PipeEnds{recap::UniqueFd(ends[0]), recap::UniqueFd(ends[1])};
}

void unblock(const recap::UniqueFd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

}  // namespace

recap::Result<Stdio> Stdio::open(bool outputs) {
    Stdio stdio;
    std::array<struct stat, 3> about{};
    for (int stream = 0; stream < (outputs ? 3 : 1); ++stream) {
        const auto i = static_cast<std::size_t>(stream);
        const Kind kind = kindOf(stream, about[i]);
        if (kind == Kind::Passable) stdio.given_[i] = stream;
        if (kind != Kind::Pumped) continue;
        // Both outputs on one terminal or in one file share a pipe: their order is kept.
        if (stream == 2 && stdio.handed_[1] && about[1].st_dev == about[2].st_dev && about[1].st_ino == about[2].st_ino) {
            stdio.given_[2] = stdio.given_[1];
            continue;
        }
        auto made = stream == 0 ? stdio.pipeIn() : stdio.pipeOut(stream);
        if (!made) return recap::forward(std::move(made));
    }
    return stdio;
}

recap::Result<Stdio> Stdio::forTerminal(DetachKeys keys) {
    Stdio stdio;
    stdio.terminal_ = stdio.launchers_ = true;
    stdio.keys_ = std::move(keys);
    if (auto made = stdio.pipeIn(); !made) return recap::forward(std::move(made));
    if (auto made = stdio.pipeOut(STDOUT_FILENO); !made) return recap::forward(std::move(made));
    return stdio;
}

Stdio Stdio::attached(recap::client::Attachment ends, bool terminal, DetachKeys keys) {
    Stdio stdio;
    stdio.launchers_ = true;
    if (terminal) stdio.keys_ = std::move(keys);
    stdio.input_ = std::move(ends.standardInput);
    stdio.outputs_ = {std::move(ends.standardOutput), std::move(ends.standardError)};
    for (const recap::UniqueFd* fd : {&stdio.input_, &stdio.outputs_[0], &stdio.outputs_[1]}) unblock(*fd);
    return stdio;
}

void Stdio::close() {
    for (auto& output : outputs_) output.reset();
    input_.reset();
}

recap::Result<void> Stdio::pipeIn() {
    auto ends = launchers_ ? makeSockets() : makePipe();
    if (!ends) return recap::forward(std::move(ends));
    given_[0] = ends->read.get();
    handed_[0] = std::move(ends->read);
    input_ = std::move(ends->write);
    unblock(input_);
    return {};
}

recap::Result<void> Stdio::pipeOut(int stream) {
    auto ends = launchers_ ? makeSockets() : makePipe();
    if (!ends) return recap::forward(std::move(ends));
    const auto i = static_cast<std::size_t>(stream);
    given_[i] = ends->write.get();
    handed_[i] = std::move(ends->write);
    outputs_[i - 1] = std::move(ends->read);
    unblock(outputs_[i - 1]);
    return {};
}

void Stdio::handedOver() {
    for (auto& end : handed_) end.reset();
}

std::array<pollfd, Stdio::kPolls> Stdio::polls() const {
    // The terminal is read only when there is room for what it says, so that typing for the next command stays there.
    const bool reading = input_ && typed_.empty() && !held_;
    return {{{reading ? STDIN_FILENO : -1, POLLIN, 0},
             {input_.get(), static_cast<short>(typed_.empty() ? 0 : POLLOUT), 0},
             {outputs_[0].get(), POLLIN, 0},
             {outputs_[1].get(), POLLIN, 0}}};
}

void Stdio::pump(const std::array<pollfd, kPolls>& ready) {
    if (ready[1].revents & (POLLERR | POLLHUP))
        input_.reset();
    else if (ready[1].revents & POLLOUT)
        writeInput();
    if (input_ && ready[0].revents) readInput();
    if (ready[2].revents) copyOutput(0);
    if (ready[3].revents) copyOutput(1);
}

void Stdio::readInput() {
    char buffer[65536];
    const ssize_t size = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (size > 0) {
        typed_ = keys_.pass({buffer, static_cast<std::size_t>(size)});
        if (!typed_.empty()) writeInput();
    } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
        if (terminal_) static_cast<void>(::write(input_.get(), &kEndOfFile, 1) + 1);
        input_.reset();
    }
}

void Stdio::writeInput() {
    const ssize_t size = ::write(input_.get(), typed_.data(), typed_.size());
    if (size > 0)
        typed_.erase(0, static_cast<std::size_t>(size));
    else if (size < 0 && errno != EINTR && errno != EAGAIN)
        input_.reset();
}

bool Stdio::copyOutput(std::size_t which) {
    char buffer[65536];
    const ssize_t size = ::read(outputs_[which].get(), buffer, sizeof buffer);
    if (size > 0 && writeAll(which == 0 ? STDOUT_FILENO : STDERR_FILENO, {buffer, static_cast<std::size_t>(size)})) return true;
    if (size >= 0 || (errno != EINTR && errno != EAGAIN)) outputs_[which].reset();
    return size < 0 && errno == EINTR;
}

void Stdio::drain() {
    for (std::size_t which = 0; which < outputs_.size(); ++which)
        while (outputs_[which] && copyOutput(which)) continue;
}

}  // namespace recapctl
