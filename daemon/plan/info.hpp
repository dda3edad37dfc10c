// SPDX-License-Identifier: Apache-2.0
// Of a manifest what the other rooms see.
#pragma once

#include "daemon/core/capsules.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::plan {

Selection selectionOf(const manifest::TargetSelection& target);
CapsuleInfo describeManifest(const manifest::Manifest& manifest);

}  // namespace recap::plan
