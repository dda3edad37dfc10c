// SPDX-License-Identifier: Apache-2.0
// A run that nobody asks for is its enabler's: for what the capsule asked for when it was enabled, and no more.
#pragma once

#include <string>

#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/image.hpp"

namespace recap {

// Why a capsule that is enabled does not run; empty: it does.
std::string problemOf(const CapsuleInfo& capsule);
// It is enabled, readable, and has no problem.
bool sound(const CapsuleInfo& capsule);

// The enabler's runs of it now: of request.run its capsule and caller are set, and of the targets each has its answer.
Result<void> asEnabler(const CapsuleInfo& capsule, const ImageIndex& images, const BatchTable& batches, BatchRequest& request);

}  // namespace recap
