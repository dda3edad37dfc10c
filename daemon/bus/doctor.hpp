// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/bus/rooms.hpp"
#include "daemon/bus/rows.hpp"

namespace recap::bus {

// What recapd itself can see of the host and of its parts, each found by trying or asking.
Rows examine(const Rooms& rooms);

// What recap-launcher found of its kernel by trying it, bits of LauncherFeature: whether that is enough for capsules, and of each thing
// that is missing, what its absence costs.
void examineFeatures(std::uint64_t features, Rows& rows);

// One finding; `status` is ok, warning or failed.
void add(Rows& rows, const std::string& check, const char* status, const std::string& detail, const std::string& advice = {});

}  // namespace recap::bus
