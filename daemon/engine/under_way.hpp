// SPDX-License-Identifier: Apache-2.0
// Who has which runs under way: what bounds them, and whose are stopped when a caller leaves. Owned by the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "daemon/core/runs.hpp"
#include "sdk/base/result.hpp"

namespace recap {

class UnderWay {
public:
    // A uid other than root may have a quarter of `most`, those that wait included: of what it asks for itself. What events and timers
    // start by its right, RunQueue bounds.
    void limit(std::size_t most) { most_ = most; }
    // LimitExceeded where this one would be too many for its uid.
    Result<void> admit(const RunRequest& request) const;
    // Each run once; neither its caller nor its trigger changes in between.
    void enter(const RunRecord& run);
    void unbind(const RunRecord& run);  // from its caller
    void leave(const RunRecord& run);
    std::vector<RunId> boundTo(const std::string& busName) const;  // those with lifetime "caller"

private:
    std::size_t most_ = 0;
    std::unordered_map<std::uint32_t, std::size_t> byUid_;  // of what was asked for
    std::unordered_map<std::string, std::unordered_set<RunId>> byCaller_;
};

}  // namespace recap
