// SPDX-License-Identifier: Apache-2.0
// capsule.toml -> Manifest. The whole schema is checked here, also what only later versions act on; what depends on the
// machine (does the image exist, is the group of system calls known) is the planner's to say.
#pragma once

#include <string_view>

#include "sdk/manifest/diagnostic.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::manifest {

// Pure. `file` is only named in diagnostics; `recapVersion` is what `requires` is held against.
Read<Manifest> readManifest(std::string_view text, std::string_view file, std::string_view recapVersion = RECAP_VERSION);

}  // namespace recap::manifest
