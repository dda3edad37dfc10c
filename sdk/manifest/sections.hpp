// SPDX-License-Identifier: Apache-2.0
// The tables of a manifest, one function each. For reader.cpp; profiles and the ceiling use the words.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "sdk/manifest/manifest.hpp"
#include "sdk/manifest/table_reader.hpp"

namespace recap::manifest {

// Index = number of the bit.
inline const std::vector<std::string_view> kNamespaceWords{"pid", "net", "ipc", "uts", "user", "cgroup", "time"};
inline const std::vector<std::string_view> kAdjustableWords{"view", "user", "processes", "image"};
// Index = value of the enum.
inline const std::vector<std::string_view> kProcessesWords{"none", "observe", "join"};
inline const std::vector<std::string_view> kViewWords{"none", "read-only", "merged", "write"};
inline const std::vector<std::string_view> kOnViolationWords{"errno", "kill", "log"};

void readBuild(TableReader table, Manifest& into);
void readTarget(TableReader table, TargetSelection& into);
void readSandbox(TableReader table, Sandbox& into);
void readLimits(TableReader table, Limits& into);
void readSchedule(TableReader table, Schedule& into);
void readOutput(TableReader table, Output& into);

// Of [sandbox.syscalls] and a profile's [syscalls]; the caller finishes the table.
void readSyscallSet(TableReader& table, Syscalls& into);
// Consumes `key`, a list of capability names, as a mask.
bool readCapabilities(TableReader& table, std::string_view key, std::uint64_t& mask);

}  // namespace recap::manifest
