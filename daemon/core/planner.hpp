// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "daemon/core/run.hpp"
#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// RunRequest -> RunPlan. Implemented by daemon/plan, called by daemon/engine on the loop once the target is resolved and
// inspected (target.facts is set). No side effect and nothing slow: files were read at start and at reload. Errc::Denied
// becomes outcome "denied", any other error "not-started"; the message is what the user reads.
class Planner {
public:
    virtual ~Planner() = default;
    virtual Result<RunPlan> plan(const RunId& id, const RunRequest& request, const Target& target) = 0;
    // What the run will see and touch, and what was taken from it by whom; one sentence each.
    virtual std::vector<std::string> describe(const RunPlan&) const { return {}; }
};

}  // namespace recap
