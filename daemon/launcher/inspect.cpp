// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/inspect.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <charconv>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/vm_sandbox.hpp"

namespace recap::launcher {

namespace {

std::uint64_t hex(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

// The n-th number of a blank-separated line.
std::vector<std::uint32_t> numbers(std::string_view line) {
    std::vector<std::uint32_t> values;
    const char* at = line.data();
    const char* end = line.data() + line.size();
    while (at < end) {
        std::uint32_t value = 0;
        auto [next, error] = std::from_chars(at, end, value);
        if (error == std::errc{}) {
            values.push_back(value);
            at = next;
        } else {
            ++at;
        }
    }
    return values;
}

void readStatus(std::string_view status, TargetFacts& facts) {
    const auto uids = numbers(statusLine(status, "Uid"));
    const auto gids = numbers(statusLine(status, "Gid"));
    if (uids.size() > 1) facts.uid = uids[1];
    if (gids.size() > 1) facts.gid = gids[1];
    facts.groups = numbers(statusLine(status, "Groups"));
    if (facts.groups.size() > kMaxStrings) facts.groups.resize(kMaxStrings);
    facts.capBounding = hex(statusLine(status, "CapBnd"));
    facts.capEffective = hex(statusLine(status, "CapEff"));
}

Result<void> readRoot(const Procfs& procfs, pid_t pid, TargetFacts& facts) {
    auto root = procfs.open(pid, "root", O_PATH);
    if (!root) return forward(std::move(root));
    auto id = folderId(root->get());
    if (!id) return forward(std::move(id));
    facts.rootDevice = id->device;
    facts.rootInode = id->inode;
    return {};
}

Result<void> readMounts(const Procfs& procfs, pid_t pid, TargetFacts& facts) {
    auto text = procfs.read(pid, "mountinfo", Procfs::kMaxMountinfo);
    if (!text) return forward(std::move(text));
    for (const auto& mount : parseMountinfo(*text)) {
        if (!isForeign(mount.type)) continue;
        if (facts.foreignMounts.size() == kMostNoted) {  // a target may have any number of any length
            facts.foreignMounts.emplace_back("and more");
            break;
        }
        facts.foreignMounts.push_back((mount.type + " " + mount.path).substr(0, 256));
    }
    return {};
}

Result<void> readMaps(const Procfs& procfs, pid_t pid, TargetFacts& facts) {
    if (!facts.userNamespaceMapped) return {};
    const auto uids = procfs.read(pid, "uid_map"), gids = procfs.read(pid, "gid_map");
    if (!uids || !gids) return failErrno("read the target's id maps");
    facts.uidMap = parseIdMap(*uids);
    facts.gidMap = parseIdMap(*gids);
    return {};
}

// One after the other they were read of a process that may change them meanwhile. Whoever has gone into a user namespace of anybody's
// making does not come back to the host's: seen there last, it was there all the time.
Result<void> checkSame(const Procfs& procfs, pid_t pid, const TargetFacts& facts) {
    for (std::size_t i = 0; i < kNamespaces; ++i) {
        auto inode = procfs.namespaceInode(pid, kNamespaceNames[i]);
        if (!inode) return forward(std::move(inode));
        if (*inode != facts.namespaces[i])
            return fail(Errc::TargetGone,
                        "the target changed its " + std::string(kNamespaceNames[i]) + " namespace while it was looked at");
    }
    return {};
}

Result<void> readAll(const Procfs& procfs, const HostIds& host, pid_t pid, bool withMounts, TargetFacts& facts) {
    auto stat = procfs.stat(pid);
    if (!stat) return forward(std::move(stat));
    if (stat->kernelThread()) return fail(Errc::Denied, "process " + std::to_string(pid) + " is a kernel thread");
    if (auto container = refuseVmSandbox(procfs, pid, stat->parent); !container) return container;
    facts.startTime = stat->startTime;
    auto cgroup = procfs.read(pid, "cgroup", 65536);
    if (!cgroup) return forward(std::move(cgroup));
    facts.cgroup = parseCgroup(*cgroup);
    for (std::size_t i = 0; i < kNamespaces; ++i) {
        auto inode = procfs.namespaceInode(pid, kNamespaceNames[i]);
        if (!inode) return forward(std::move(inode));
        facts.namespaces[i] = *inode;
        if (*inode == host.namespaces[i] || *inode == host.first[i]) facts.hostNamespaces |= 1u << i;
    }
    facts.userNamespaceMapped = (facts.hostNamespaces & kNsUser) == 0;
    auto status = procfs.read(pid, "status", 65536);
    if (!status) return forward(std::move(status));
    readStatus(*status, facts);
    if (auto maps = readMaps(procfs, pid, facts); !maps) return maps;
    if (auto root = readRoot(procfs, pid, facts); !root) return root;
    if (auto same = checkSame(procfs, pid, facts); !same) return same;
    return withMounts ? readMounts(procfs, pid, facts) : Result<void>{};
}

}  // namespace

bool alive(int pidfd) {
    pollfd poll{pidfd, POLLIN, 0};
    return ::poll(&poll, 1, 0) == 0;
}

bool isOurs(const TargetFacts& facts, std::uint64_t ownMountNamespace, std::string_view capsules) {
    return facts.namespaces[kNamespaces - 1] == ownMountNamespace || facts.cgroup.starts_with(capsules);
}

Result<FolderId> folderId(int fd) {
    struct statx info {};
    if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &info) != 0) return failErrno("statx of a root");
    return FolderId{(static_cast<std::uint64_t>(info.stx_dev_major) << 32) | info.stx_dev_minor, info.stx_ino};
}

Result<HostIds> hostIds(const Procfs& procfs) {
    HostIds host;
    for (std::size_t i = 0; i < kNamespaces; ++i) {
        auto inode = procfs.ownNamespaceInode(kNamespaceNames[i]);
        if (!inode) return forward(std::move(inode));
        host.namespaces[i] = *inode;
        auto first = procfs.namespaceInode(1, kNamespaceNames[i]);
        host.first[i] = first ? *first : *inode;
    }
    const UniqueFd root(::open("/", O_PATH | O_CLOEXEC));
    auto id = folderId(root.get());
    if (!id) return forward(std::move(id));
    host.root = *id;
    return host;
}

Result<TargetFacts> inspect(const Procfs& procfs, const HostIds& host, int pidfd, bool withMounts) {
    auto pid = procfs.pidOf(pidfd);
    if (!pid) return forward(std::move(pid));
    TargetFacts facts;
    facts.pid = static_cast<std::uint32_t>(*pid);
    auto read = readAll(procfs, host, *pid, withMounts, facts);
    if (!alive(pidfd)) return fail(Errc::TargetGone, "process " + std::to_string(*pid) + " has ended");
    // Its namespaces go before it is a zombie.
    if (!read && read.error().code == Errc::NotFound)
        return fail(Errc::TargetGone, "process " + std::to_string(*pid) + " is about to have ended: " + read.error().message);
    if (!read) return forward(std::move(read));
    return facts;
}

}  // namespace recap::launcher
