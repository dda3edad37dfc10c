// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sdk/client/recap/client.hpp"

namespace recapctl {

// "every 15 min", "calendar daily", "on pressure (memory, 100 ms in 1 s)": a row of Client::schedule().
std::string whenInWords(const recap::client::Dict& row);

// The lines that `capsule show` has about it; empty where it has no schedule.
std::string scheduleInWords(recap::client::Client& client, const std::string& capsule);

}  // namespace recapctl
