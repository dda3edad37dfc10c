// SPDX-License-Identifier: Apache-2.0
// A profile of policies/*.toml: what a capsule under it may have, and what it gets where its manifest says nothing.
// recap-policy(5) documents the format for administrators.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/manifest/diagnostic.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::manifest {

struct ProfileLimits {
    std::uint64_t memory = 0;  // bytes
    std::uint32_t cpuMilli = 0;
    std::uint32_t pids = 0;
    std::uint64_t scratch = 0;
    std::chrono::microseconds timeout{0};
    std::uint64_t log = 0;
};

struct Profile {
    std::string name;
    std::string description;
    // [allow]: what is not listed is taken away
    std::uint32_t namespaces = 0;     // bits of Namespace
    std::uint32_t processes = 1;      // bit = value of Processes; none is always allowed
    std::uint32_t views = 1;          // bit = value of View; none is always allowed
    std::vector<std::string> writes;  // for view = "write": these paths and what is below them
    bool targetUser = false;          // users = ["target", "root", "ids"]
    bool rootUser = false;
    bool otherUsers = false;  // "ids": UID:GID, both other than 0
    std::uint64_t capabilities = 0;
    bool freeze = false;
    std::uint32_t onViolation = 0;   // bit = value of OnViolation
    Syscalls syscalls;               // [syscalls]: where the manifest has no groups
    Syscalls most;                   // [syscalls.max]: the outer bound; absent: the same
    ProfileLimits limits;            // [limits]
    ProfileLimits max;               // [limits.max]; a missing key: the same as in [limits]
    std::uint64_t maxArtifacts = 0;  // [limits.max] artifacts
};

Read<Profile> readProfile(std::string_view text, std::string_view file);

}  // namespace recap::manifest
