// SPDX-License-Identifier: Apache-2.0
// Containers that are virtual machines, or have a kernel of their own in user space: what the host sees of one is its monitor, whose
// namespaces are the sandbox's outside (threat T24).
#pragma once

#include <string_view>

#include "daemon/launcher/procfs.hpp"

namespace recap::launcher {

// Whether a program of this file name is a monitor, or the shim that is one's parent.
bool isVmMonitor(std::string_view program);
// Errc::Denied, naming the program, where the process or its parent executes one.
Result<void> refuseVmSandbox(const Procfs& procfs, pid_t pid, pid_t parent);

}  // namespace recap::launcher
