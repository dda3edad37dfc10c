// SPDX-License-Identifier: Apache-2.0
// One message and its descriptors over a SOCK_SEQPACKET socket. Both sides; no allocation beyond the message.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/launcher/protocol.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

// Room for what supervisor and workers pass each other; a client is held to kMaxFds by the supervisor.
inline constexpr std::size_t kTransportFds = 12;

struct Message {
    std::string bytes;
    std::vector<UniqueFd> fds;  // close-on-exec; at most kTransportFds
};

// Sends one message. Errc::Busy: the socket's buffer is full. Errc::Unavailable: the peer is gone.
Result<void> sendMessage(int socket, std::string_view bytes, std::span<const int> fds = {});

// Receives one message. Errc::Busy: nothing there. Errc::Unavailable: the peer closed. Errc::InvalidArgument: over a cap or with
// more descriptors than allowed; what came with it is closed, or given to `refused`, and the connection is not to be trusted further.
Result<Message> receiveMessage(int socket, std::vector<UniqueFd>* refused = nullptr);

}  // namespace recap::launcher
