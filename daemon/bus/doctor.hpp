// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/bus/rooms.hpp"
#include "daemon/bus/rows.hpp"

namespace recap::bus {

// What recapd itself can see of the host and of its parts, each found by trying or asking.
Rows examine(const Rooms& rooms);

}  // namespace recap::bus
