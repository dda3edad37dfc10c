// SPDX-License-Identifier: Apache-2.0
// What this kernel and its cgroups can do of what an attach needs, found by trying each once at the launcher's start.
#pragma once

#include <cstdint>

#include "daemon/launcher/cgroup.hpp"
#include "daemon/launcher/procfs.hpp"

namespace recap::launcher {

std::uint64_t probeFeatures(const Procfs& procfs, const CgroupTree& cgroups);

}  // namespace recap::launcher
