// SPDX-License-Identifier: Apache-2.0
// What a capsule's first process tells the supervisor, one SEQPACKET message each; text behind it where stated. It is the launcher's
// own, but lives where the target may look: what it says is read as anybody's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recap::launcher {

enum class InitNews : std::uint32_t {
    Attached = 1,   // value: bits of InitFd; fds: those, in that order; text: omitted mounts, NUL-separated
    Executing = 2,  // fds: the payload's pidfd
    Failed = 3,     // value: errno; text: the step
    Exited = 4,     // value: wait status of the payload
};
enum InitFd : std::int32_t { kArtifactsFd = 1, kUpperFd = 2 };

struct InitMessage {
    InitNews news{};
    std::int32_t value = 0;
    std::uint64_t time = 0;  // CLOCK_MONOTONIC, µs
};

struct InitStatement {
    InitMessage what;
    std::vector<std::string> omitted;  // Attached
    std::string step;                  // Failed
};

// None: no message of an init's.
std::optional<InitStatement> readNews(std::string_view bytes);

}  // namespace recap::launcher
