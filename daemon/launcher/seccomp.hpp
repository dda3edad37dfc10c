// SPDX-License-Identifier: Apache-2.0
// Two filters, the launcher's own first: it kills what no payload may ever do. Then the plan's, whose every return value was
// read, so that its bytes can only narrow.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::launcher {

// The ceiling filter: KILL_PROCESS for another architecture, for x32, and for the system calls of kForbidden; EPERM for a clone(2)
// into new namespaces, ENOSYS for clone3(2); else ALLOW.
std::vector<sock_filter> ceilingFilter();

// The plan's program, from its wire form. Errc::Denied unless every return is ALLOW, LOG, KILL_PROCESS or ERRNO 1 to 4095.
Result<std::vector<sock_filter>> readFilter(std::span<const std::uint64_t> wire);

// Loads a filter for this process; no_new_privs must be set. 0, or -1 with errno. Safe in a vfork child.
int loadFilter(const std::vector<sock_filter>& filter);

}  // namespace recap::launcher
