// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace recap::test {

struct HttpAnswer {
    int status = 0;
    std::string body;
};

// One GET to 127.0.0.1:port inside the network namespace of process `target` (a forked child goes there, the caller
// doesn't). Throws std::runtime_error where no answer comes.
HttpAnswer httpGet(pid_t target, std::uint16_t port, const std::string& path);

}  // namespace recap::test
