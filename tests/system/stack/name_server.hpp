// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace recap::test {

// Answers every question for an address with 10.1.2.3.
inline constexpr const char* kNameServer = R"(
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    question, who = server.recvfrom(512)
    found = question[-4:-2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([10, 1, 2, 3]) if found else b""
    server.sendto(question[:2] + b"\x81\x80" + question[4:6] + bytes([0, int(found), 0, 0, 0, 0]) + question[12:] + answer, who)
)";

}  // namespace recap::test
