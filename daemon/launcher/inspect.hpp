// SPDX-License-Identifier: Apache-2.0
// INSPECT: what a process is, read afresh through the launcher's own procfs. The pidfd is pinned first; if it is still alive
// after the reading, everything that was read by pid belongs to it.
#pragma once

#include "daemon/launcher/procfs.hpp"
#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

struct HostIds {  // the launcher's own, taken once at start
    std::array<std::uint64_t, kNamespaces> namespaces{};
    std::uint64_t rootDevice = 0;
    std::uint64_t rootInode = 0;
};

Result<HostIds> hostIds(const Procfs& procfs);
bool alive(int pidfd);

// Errc::TargetGone when it ended; Errc::Denied for a kernel thread. Foreign mounts only `withMounts`: it reads all of mountinfo.
Result<TargetFacts> inspect(const Procfs& procfs, const HostIds& host, int pidfd, bool withMounts);

}  // namespace recap::launcher
