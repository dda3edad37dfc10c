// SPDX-License-Identifier: Apache-2.0
// What an engine answers, as values. Text of others: of any of it only what RECap wants is kept while it is parsed, so that an
// answer costs little more memory than its own bytes; what is missing or of another type is as if empty.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::docker {

inline constexpr std::size_t kMaxContainers = 8192;
inline constexpr std::size_t kMaxLabels = 256;

// GET /containers/ID/json
struct Container {
    std::string id;
    std::string name;  // without the slash that the engine puts in front
    std::string image;
    std::string runtime;
    std::string userNamespace;  // HostConfig.UsernsMode
    std::string status;         // "running", "paused", "exited", …
    std::string health;         // empty: it has no check
    std::map<std::string, std::string> labels;
    std::uint64_t restarts = 0;
    std::int64_t exitCode = 0;
    pid_t pid = 0;
    bool running = false;  // its first process runs, or is frozen
    bool paused = false;
    bool operator==(const Container&) const = default;
};

// One line of GET /events about a container.
struct Event {
    std::string id;
    std::string action;      // "start", "health_status: healthy"
    std::uint64_t time = 0;  // in ns since 1970, by the engine's clock
    auto operator<=>(const Event&) const = default;
};

// An id is 64 hexadecimal digits; anything else is refused.
bool isId(std::string_view text);

Result<std::vector<std::string>> readList(std::string_view body);  // ids; at most kMaxContainers of them
Result<Container> readContainer(std::string_view body);
std::optional<Event> readEvent(std::string_view line);                 // nothing: not about a container, or no JSON
std::string readOciRuntime(std::string_view body);                     // podman's own inspect: "crun"
bool readUserNamespaces(std::string_view body);                        // GET /info: containers are in one unless they say "host"
std::string readMessage(std::string_view body);                        // why an answer is an error; empty: it does not say
std::string shortened(std::string_view text, std::size_t most = 200);  // for a sentence: one line of it

}  // namespace recap::docker
