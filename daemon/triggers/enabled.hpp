// SPDX-License-Identifier: Apache-2.0
// A run that nobody asks for is its enabler's: for what the capsule asked for when it was enabled, and no more.
#pragma once

#include <string>

#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/image.hpp"

namespace recap {

// Nothing is known of it but its name, and whether it is enabled.
inline bool unreadable(const CapsuleInfo& capsule) { return capsule.image.empty() && !capsule.problem.empty(); }
// Would it start itself for ever, as "would start itself …: a -> b -> a"; empty: no. It stands for the one of its name in `capsules`.
std::string loopProblem(const CapsuleInfo& capsule, const CapsuleStore& capsules);
// Why a capsule that is enabled does not run; empty: it does. Files may have changed since it was enabled, so all is asked again.
std::string problemOf(const CapsuleInfo& capsule, const CapsuleStore& capsules);
// It is enabled, readable, and has no problem.
bool sound(const CapsuleInfo& capsule, const CapsuleStore& capsules);

// The enabler's runs of it now: of request.run its capsule and caller are set, and of the targets each has its answer.
Result<void> asEnabler(const CapsuleInfo& capsule, const ImageIndex& images, const BatchTable& batches, BatchRequest& request);

}  // namespace recap
