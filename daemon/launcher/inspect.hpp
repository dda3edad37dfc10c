// SPDX-License-Identifier: Apache-2.0
// INSPECT: what a process is, read afresh through the launcher's own procfs. The pidfd is pinned first; if it is still alive
// after the reading, everything that was read by pid belongs to it.
#pragma once

#include "daemon/launcher/procfs.hpp"
#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

// Of a folder, which may be any: its file system is asked nothing, as a FUSE root must not be able to hang us.
struct FolderId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const FolderId&) const = default;
};
Result<FolderId> folderId(int fd);

// Taken once, before the launcher leaves the mount namespace that it was started in. "The host's" are the namespaces of PID 1 and
// those that the launcher was started in, where a service manager gave it some of its own.
struct HostIds {
    std::array<std::uint64_t, kNamespaces> namespaces{};
    std::array<std::uint64_t, kNamespaces> first{};  // of PID 1
    FolderId root;
};

Result<HostIds> hostIds(const Procfs& procfs);
bool alive(int pidfd);
// One of RECap's own: the launcher and its workers (by their mount namespace), or a capsule (by its cgroup, below `capsules`).
bool isOurs(const TargetFacts& facts, std::uint64_t ownMountNamespace, std::string_view capsules);

// Errc::TargetGone when it ended; Errc::Denied for a kernel thread. Foreign mounts only `withMounts`: it reads all of mountinfo.
Result<TargetFacts> inspect(const Procfs& procfs, const HostIds& host, int pidfd, bool withMounts);

}  // namespace recap::launcher
