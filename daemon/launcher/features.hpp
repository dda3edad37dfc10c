// SPDX-License-Identifier: Apache-2.0
// What this kernel and its cgroups can do of what an attach needs, found by trying each once at the launcher's start.
#pragma once

#include <cstdint>
#include <string_view>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/cgroup.hpp"

namespace recap::launcher {

// A feature that can be done without by a fallback, by the name that --without knows it by; 0: there is none of that name.
std::uint64_t fallbackFeature(std::string_view name);

// Bits of Feature; what `without` has is taken to be missing. `layers`: the store's folder of them.
std::uint64_t probeFeatures(const Prepared& prepared, int layers, CgroupTree& cgroups, std::uint64_t without);

}  // namespace recap::launcher
