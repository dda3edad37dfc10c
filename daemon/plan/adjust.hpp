// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "daemon/core/adjustments.hpp"
#include "sdk/base/result.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::plan {

// The manifest as if it said itself what the caller chose. Fails where it does not let its callers choose that, or a word is none.
Result<manifest::Manifest> adjust(manifest::Manifest manifest, const Adjustments& by);

}  // namespace recap::plan
