// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "daemon/host/loader.hpp"

namespace recap::host {
namespace {

UniqueFd descriptorOf(const msghdr& message) {
    const cmsghdr* part = CMSG_FIRSTHDR(&message);
    if (part == nullptr || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) return {};
    UniqueFd last;  // the buffer's padding has room for a second one
    for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= part->cmsg_len; at += sizeof(int)) {
        int descriptor = -1;
        std::memcpy(&descriptor, CMSG_DATA(part) + at, sizeof descriptor);
        last.reset(descriptor);
    }
    return last;
}

bool isPipeEnd(int descriptor) {
    struct stat info {};
    return descriptor >= 0 && ::fstat(descriptor, &info) == 0 && S_ISFIFO(info.st_mode) &&
           (::fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_WRONLY;
}

}  // namespace

Result<UniqueFd> listenAt(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(Errc::InvalidArgument, "socket '" + path + "': longer than a socket's path may be");
    path.copy(address.sun_path, path.size());
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) ::unlink(path.c_str());
    UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failErrno("socket");
    const mode_t mask = ::umask(0177);
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::umask(mask);
    if (bound != 0) return failErrno("socket '" + path + "'", error);
    if (::listen(fd.get(), 4) != 0) return failErrno("listen on '" + path + "'");
    return fd;
}

Result<UniqueFd> listenerFromSystemd() {
    const int count = ::sd_listen_fds(1);
    if (count == 0) return UniqueFd();
    if (count != 1 || ::sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_SEQPACKET, 1) <= 0)
        return fail(Errc::InvalidArgument, "LISTEN_FDS: one listening AF_UNIX SOCK_SEQPACKET socket is wanted");
    return UniqueFd(SD_LISTEN_FDS_START);
}

Server::Server(UniqueFd listener, Make make, WorkerTimes times) : listener_(std::move(listener)), make_(std::move(make)), times_(times) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_.reset(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
    std::uint64_t watchdogUsec = 0;
    watched_ = ::sd_watchdog_enabled(1, &watchdogUsec) > 0;
    if (watched_)
        tick_ = std::min(tick_, std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::microseconds(watchdogUsec / 2)));
    tick_ = std::min(tick_, std::min(times_.alive, times_.find) / 2);
}

void Server::watchdog() {
    if (watched_) ::sd_notify(0, "WATCHDOG=1");
}

bool Server::accept() {
    ::sd_notify(0, "READY=1\nSTATUS=waiting for recapd");
    std::array<pollfd, 2> fds{{{listener_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}}};
    while (!connection_) {
        const int ready = ::poll(fds.data(), fds.size(), watched_ ? static_cast<int>(tick_.count()) : -1);
        watchdog();
        if (ready < 0 && errno != EINTR) return false;
        if (fds[1].revents != 0) return false;
        if (ready > 0) connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    }
    listener_.reset();  // one connection a process: a second one is for the next
    return true;
}

int Server::run() {
    if (!accept()) return finish("");
    Hello hello;
    auto backend = make_(hello);
    outbox_.greet(hello);
    if (!backend) return finish(backend.error().message);
    worker_ = std::make_unique<Worker>(*backend, outbox_, times_);
    worker_->start();
    ::sd_notify(0, "STATUS=serving recapd");
    while (serve()) {
    }
    return finish(failure_);
}

bool Server::serve() {
    const short wanted = static_cast<short>(POLLIN | (unsent_.empty() ? 0 : POLLOUT));
    std::array<pollfd, 4> fds{
        {{connection_.get(), wanted, 0}, {outbox_.wakeFd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {worker_->exports().pipe(), 0, 0}}};
    if (!unsent_.empty()) fds[1].fd = -1;  // nothing more can be told until the socket takes this
    if (::poll(fds.data(), fds.size(), static_cast<int>(tick_.count())) < 0 && errno != EINTR) return false;
    if ((fds[3].revents & POLLERR) != 0) worker_->exports().stop();
    if (const auto ended = worker_->check()) {
        failure_ = *ended;
        return false;
    }
    watchdog();
    if (fds[2].revents != 0) return false;
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !receive()) return false;
    outbox_.clearWake();
    worker_->exports().ended();  // closes its pipe before recapd hears of it
    return sendPending();
}

bool Server::receive() {
    std::array<char, 8192> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec bytes{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(connection_.get(), &message, MSG_TRUNC | MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    UniqueFd descriptor = descriptorOf(message);
    if (got == 0 || got > static_cast<ssize_t>(buffer.size())) return false;
    const auto record = decodeToHost({buffer.data(), static_cast<std::size_t>(got)});
    if (record) return take(*record, std::move(descriptor));
    failure_ = "recapd sent " + record.error().message;
    return false;
}

bool Server::take(const ToHost& record, UniqueFd descriptor) {
    if (const auto* exported = std::get_if<Export>(&record)) {
        if (!isPipeEnd(descriptor.get())) {
            failure_ = "recapd sent an export without the end of a pipe to write into";
            return false;
        }
        worker_->exports().begin(exported->request, exported->reference, std::move(descriptor));
    }
    if (const auto* find = std::get_if<Find>(&record)) worker_->find(find->request, find->id);
    if (std::holds_alternative<Resync>(record)) outbox_.resync();
    if (const auto* ping = std::get_if<Ping>(&record)) outbox_.reply(Pong{ping->nonce});
    return true;
}

bool Server::sendPending() {
    for (;;) {
        if (unsent_.empty()) {
            auto record = outbox_.next();
            if (!record) return true;
            unsent_ = std::move(*record);
        }
        if (::send(connection_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL) < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN;
        }
        unsent_.clear();
    }
}

// Tells what is left, as far as the socket takes it within a second.
void Server::flush() {
    for (int i = 0; i < 10 && sendPending() && !unsent_.empty(); ++i) {
        pollfd out{connection_.get(), POLLOUT, 0};
        ::poll(&out, 1, 100);
    }
}

int Server::finish(const std::string& why) {
    if (!why.empty()) {
        std::fprintf(stderr, "<3>%s\n", why.c_str());
        outbox_.state(BackendState::Unavailable, why);
        flush();
    }
    listener_.reset();
    connection_.reset();
    if (worker_ && !worker_->stop()) {
        std::fprintf(stderr, "<3>the plugin did not return in time: ending it\n");
        std::_Exit(1);
    }
    worker_.reset();
    return why.empty() ? 0 : 1;
}

}  // namespace recap::host
