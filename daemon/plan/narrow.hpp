// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "daemon/core/policy.hpp"

namespace recap::plan {

// In no respect more than `outer`.
bool isWithin(const SandboxSpec& inner, const SandboxSpec& outer);

// Every policy in turn, each held to taking away only. Fails with the sentence of the policy that refuses, its name first.
Result<Narrowed> narrowAll(SandboxSpec asked, const std::vector<const Policy*>& policies);

}  // namespace recap::plan
