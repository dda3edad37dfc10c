// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/core/settings.hpp"

namespace recap::plan {

// recapd.toml and its drop-ins. An error names everything that is wrong, one a line; keep what was there before.
Result<Settings> loadSettings(const Folders& folders);

}  // namespace recap::plan
