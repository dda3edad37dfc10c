// SPDX-License-Identifier: Apache-2.0
// Values of the house as rows of the bus (see dbus/*.xml for the keys).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/bus/options.hpp"
#include "daemon/core/backend.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/image.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/target.hpp"

namespace recap::bus {

using Rows = std::vector<Values>;

// Labels and bits from 0 to 1: names people know.
std::vector<std::string> namespaceNames(std::uint32_t bits);
std::vector<std::string> capabilityNames(std::uint64_t mask);

std::string runPath(const RunId& id);
std::string capsulePath(const std::string& name);
std::string backendPath(const std::string& name);

std::map<std::string, std::uint64_t> phases(const Phases& phases);

Values row(const Target& target);
Values row(const CapsuleInfo& capsule, const Image* image);
Values row(const Image& image);
Values row(const BackendStatus& backend);
Values row(const PolicyInfo& policy);
Values row(const RunRecord& run);      // what anybody may see
Values details(const RunRecord& run);  // arguments, environment and caller too
Values details(const RunPlan& plan);

}  // namespace recap::bus
