// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/transport.hpp"

#include <sys/socket.h>

#include <cstring>
#include <memory>

namespace recap::launcher {

Result<void> sendMessage(int socket, std::string_view bytes, std::span<const int> fds) {
    if (bytes.size() > kMaxMessage) return fail(Errc::LimitExceeded, "message of " + std::to_string(bytes.size()) + " bytes");
    if (fds.size() > kTransportFds) return fail(Errc::LimitExceeded, "too many descriptors");
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};  // NOLINT: sendmsg does not write to it
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (kTransportFds))] = {};
    if (!fds.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        cmsghdr* head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(head), fds.data(), sizeof(int) * fds.size());
    }
    ssize_t sent = 0;
    do sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) return {};
    if (errno == EAGAIN || errno == ENOBUFS) return fail(Errc::Busy, "the peer does not read");
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return fail(Errc::Unavailable, "the peer is gone");
    return failErrno("sendmsg");
}

namespace {

void takeFds(msghdr& message, std::vector<UniqueFd>& fds) {
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
            fds.emplace_back(fd);
        }
    }
}

}  // namespace

Result<Message> receiveMessage(int socket, std::vector<UniqueFd>* refused) {
    // The socket's own queue bounds what one peer can make us hold; a message's size is known only by reading it.
    // Not filled: what no message has needed yet costs no memory, neither here nor in what is forked from here.
    thread_local const std::unique_ptr<char[]> buffer(new char[kMaxMessage]);
    iovec part{buffer.get(), kMaxMessage};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (kTransportFds))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    ssize_t size = 0;
    do size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    if (size < 0) {
        if (errno == EAGAIN) return fail(Errc::Busy, "nothing to read");
        if (errno == ECONNRESET) return fail(Errc::Unavailable, "the peer is gone");
        return failErrno("recvmsg");
    }
    Message received;
    takeFds(message, received.fds);
    const bool cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    if (refused != nullptr && (size == 0 || cut)) *refused = std::move(received.fds);
    if (size == 0) return fail(Errc::Unavailable, "the peer is gone");
    if (cut)
        return fail(Errc::InvalidArgument, "message longer than " + std::to_string(kMaxMessage) + " bytes or with too many descriptors");
    received.bytes.assign(buffer.get(), static_cast<std::size_t>(size));
    return received;
}

}  // namespace recap::launcher
