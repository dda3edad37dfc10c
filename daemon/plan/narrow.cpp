// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/narrow.hpp"

#include <algorithm>

namespace recap::plan {
namespace {

bool isWithin(View inner, View outer) { return inner == outer || inner == View::None || (inner == View::ReadOnly && outer != View::None); }

// "kill" lets nothing through and stops at once, "errno" lets nothing through, "log" lets all through.
int width(OnViolation action) { return action == OnViolation::Kill ? 0 : action == OnViolation::Errno ? 1 : 2; }

bool isWithin(const Limits& inner, const Limits& outer) {
    return inner.memory <= outer.memory && inner.cpuMilli <= outer.cpuMilli && inner.pids <= outer.pids && inner.scratch <= outer.scratch &&
           inner.timeout <= outer.timeout;
}

bool isWithin(const std::vector<std::string>& inner, const std::vector<std::string>& outer) {
    return std::all_of(inner.begin(), inner.end(),
                       [&](const auto& path) { return std::find(outer.begin(), outer.end(), path) != outer.end(); });
}

}  // namespace

bool isWithin(const SandboxSpec& inner, const SandboxSpec& outer) {
    return (inner.namespaces & ~outer.namespaces) == 0 && inner.processes <= outer.processes && isWithin(inner.view, outer.view) &&
           isWithin(inner.writes, outer.writes) && inner.user == outer.user && inner.uid == outer.uid && inner.gid == outer.gid &&
           (inner.capabilities & ~outer.capabilities) == 0 && inner.freeze <= outer.freeze &&
           std::includes(outer.syscalls.begin(), outer.syscalls.end(), inner.syscalls.begin(), inner.syscalls.end()) &&
           width(inner.onViolation) <= width(outer.onViolation) && isWithin(inner.limits, outer.limits) &&
           inner.artifactsMax <= outer.artifactsMax && inner.logMax <= outer.logMax;
}

Result<Narrowed> narrowAll(SandboxSpec asked, const std::vector<const Policy*>& policies) {
    Narrowed result{std::move(asked), {}};
    for (const Policy* policy : policies) {
        auto narrowed = policy->narrow(result.sandbox);
        if (!narrowed) return forward(std::move(narrowed), "policy " + std::string(policy->name()));
        if (!isWithin(narrowed->sandbox, result.sandbox))
            return fail(Errc::Denied,
                        "policy " + std::string(policy->name()) + " gave more than was asked for; a policy may only take away");
        result.sandbox = std::move(narrowed->sandbox);
        std::move(narrowed->taken.begin(), narrowed->taken.end(), std::back_inserter(result.taken));
    }
    return result;
}

}  // namespace recap::plan
