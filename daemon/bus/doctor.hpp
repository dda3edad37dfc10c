// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>
#include <optional>

#include "daemon/bus/rooms.hpp"
#include "daemon/bus/rows.hpp"

namespace recap::bus {

// What recapd itself can see of the host and of its parts, each found by trying or asking.
Rows examine(const Rooms& rooms);

// What recap-launcher found of its kernel by trying it, bits of LauncherFeature: whether that is enough for capsules, and of each thing
// that is missing, what its absence costs.
void examineFeatures(std::uint64_t features, Rows& rows);

// Settings of the host; what is not known is 0.
struct HostFacts {
    std::optional<std::uint64_t> fuseTimeout;  // fs.fuse.max_request_timeout in seconds; none: there is no such setting
    std::uint64_t pidMax = 0;                  // kernel.pid_max
    std::uint64_t launcherFiles = 0;           // recap-launcher's RLIMIT_NOFILE
    bool movesProcesses = false;               // limits are those of version 1, whose cgroups nobody is born in
    bool favorsMoves = false;                  // cgroup2 is mounted with favordynmods
};
HostFacts lookAtHost(std::uint64_t launcherFiles);
void examineHost(const HostFacts& host, Rows& rows);
bool favorsMoves(std::istream& mountinfo);
bool isCgroup2(const char* path);

// One finding; `status` is ok, warning or failed.
void add(Rows& rows, const std::string& check, const char* status, const std::string& detail, const std::string& advice = {});

}  // namespace recap::bus
