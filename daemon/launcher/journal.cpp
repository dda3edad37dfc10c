// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/journal.hpp"
#include "daemon/launcher/weaken.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstring>

namespace recap::launcher {

void appendField(std::string& record, std::string_view key, std::string_view value) {
    record += key;
    if (value.find('\n') == std::string_view::npos || weakened(Threat::Injection)) {
        record += '=';
    } else {
        record += '\n';
        for (unsigned i = 0; i < 8; ++i) record.push_back(static_cast<char>(std::uint64_t{value.size()} >> (8 * i)));
    }
    record += value;
    record += '\n';
}

namespace {

bool sendTo(int socket, const std::string& path, const std::string& record) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path)) return false;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const ssize_t sent =
        ::sendto(socket, record.data(), record.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    return sent == static_cast<ssize_t>(record.size());
}

// For people at a terminal: what came from outside must not steer it.
std::string printable(std::string_view text) {
    std::string plain;
    for (const char byte : text) plain.push_back(static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f ? '?' : byte);
    return plain;
}

}  // namespace

// Not connected: journald may come back with another socket at the same path.
Journal::Journal(std::string socketPath)
    : path_(std::move(socketPath)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}

void Journal::refused(std::string_view message, std::initializer_list<Field> fields, std::uint64_t now) {
    constexpr unsigned kMost = 100;
    constexpr std::uint64_t kWindowUsec = 10000000;
    if (now >= windowEnd_) {
        const unsigned unsaid = inWindow_ > kMost ? inWindow_ - kMost : 0;
        if (unsaid != 0)
            write(Priority::Warning, kMessageRefused, "and " + std::to_string(unsaid) + " refusals more",
                  {{"RECAP_RECORD", "REFUSED"}, {"RECAP_COUNT", std::to_string(unsaid)}});
        windowEnd_ = now + kWindowUsec;
        inWindow_ = 0;
    }
    if (++inWindow_ <= kMost) write(Priority::Warning, kMessageRefused, message, fields);
}

void Journal::write(Priority priority, std::string_view messageId, std::string_view message, std::initializer_list<Field> fields) const {
    std::string record;
    appendField(record, "PRIORITY", std::to_string(static_cast<int>(priority)));
    appendField(record, "SYSLOG_IDENTIFIER", "recap-launcher");
    appendField(record, "MESSAGE_ID", messageId);
    appendField(record, "MESSAGE", message);
    for (const auto& [key, value] : fields) appendField(record, key, value);
    if (sendTo(socket_.get(), path_, record)) return;
    const std::string line = "recap-launcher: " + printable(message) + "\n";
    static_cast<void>(::write(2, line.data(), line.size()) + 1);
}

}  // namespace recap::launcher
