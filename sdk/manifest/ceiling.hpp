// SPDX-License-Identifier: Apache-2.0
// /etc/recap/ceiling.toml: the host administrator's outer bound, as its text says it. What is missing stays the
// compiled-in default, which recap-compile-ceiling knows.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/manifest/diagnostic.hpp"

namespace recap::manifest {

struct CeilingFile {
    std::optional<std::uint32_t> namespaces;      // bits of Namespace
    std::optional<std::uint32_t> hostNamespaces;  // of pid, net, ipc, uts, time
    std::optional<std::uint32_t> processes;       // bit = value of Processes; none is always in it
    std::optional<std::uint32_t> views;           // bit = value of View; none is always in it
    std::optional<std::vector<std::string>> writes;
    std::optional<std::uint64_t> capabilities;
    std::optional<std::uint32_t> watch;  // bits: oom, pressure, file
    std::optional<bool> freeze;
    std::optional<bool> rootUser;
    std::optional<bool> bestEffortLimits;
    std::optional<std::uint64_t> maxMemory;
    std::optional<std::uint32_t> maxCpuMilli;
    std::optional<std::uint32_t> maxPids;
    std::optional<std::uint64_t> maxScratch;
    std::optional<std::chrono::microseconds> maxTimeout;
    std::optional<std::chrono::microseconds> maxGrace;
    std::optional<std::uint64_t> maxArtifacts;
    std::optional<std::uint64_t> maxLog;
    std::optional<std::uint64_t> openFiles;
    std::optional<std::uint32_t> maxRuns;
    std::optional<std::chrono::microseconds> estateKeep;
    std::optional<std::uint64_t> estateMax;
};

Read<CeilingFile> readCeiling(std::string_view text, std::string_view file);

}  // namespace recap::manifest
