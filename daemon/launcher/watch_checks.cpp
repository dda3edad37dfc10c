// SPDX-License-Identifier: Apache-2.0
// WATCH, before anything is opened.
#include <array>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/refusal.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

constexpr std::array<std::string_view, 3> kKinds{"oom", "pressure", "file"};

tl::unexpected<Error> malformed(const std::string& what) { return fail(Errc::InvalidArgument, "watch: " + what); }

Result<void> checkTrigger(const WatchRequest& watch) {
    if (watch.windowUsec < kLeastWindowUsec || watch.windowUsec > kMostWindowUsec)
        return malformed("a window of " + std::to_string(watch.windowUsec) + " us; the kernel takes 500 ms to 10 s");
    if (watch.stallUsec == 0 || watch.stallUsec > watch.windowUsec)
        return malformed("a stall of " + std::to_string(watch.stallUsec) + " us within " + std::to_string(watch.windowUsec));
    return {};
}

}  // namespace

Result<void> checkWatch(const WatchRequest& watch, const Ceiling& ceiling) {
    if (watch.target.size() > 512 || watch.cgroup.size() > 4096) return malformed("target or cgroup of more than 512 or 4096 bytes");
    const bool pressure = watch.kind == WatchKind::Pressure, file = watch.kind == WatchKind::File;
    if (!pressure && (watch.resource != Resource::Memory || watch.stallUsec != 0 || watch.windowUsec != 0))
        return malformed("resource, stall and window are pressure's");
    if (!file && !watch.path.empty()) return malformed("a path is file's");
    if (file && (watch.path.size() > kMaxWatchPath || !isPlainPath(watch.path)))
        return malformed("path '" + watch.path.substr(0, 256) + "' is not a plain absolute path of at most 4095 bytes");
    if (pressure)
        if (auto trigger = checkTrigger(watch); !trigger) return trigger;
    const auto kind = static_cast<std::size_t>(watch.kind);
    if ((ceiling.watch >> kind & 1) == 0) return denied("watch", "would watch for " + std::string(kKinds[kind]));
    return {};
}

// Not what any process of the host's does, nor what becomes of the host's files.
Result<void> checkWatched(const WatchRequest& watch, const TargetFacts& facts, const HostIds& host) {
    if (auto expected = checkExpected(facts, watch.startTime, watch.cgroup); !expected) return expected;
    if (watch.mounts != 0 && watch.mounts != facts.namespaces[kNamespaces - 1]) return targetChanged("its mnt namespace differs");
    const bool container = (facts.hostNamespaces & kNsMnt) == 0 && FolderId{facts.rootDevice, facts.rootInode} != host.root;
    if (container || weakened(Threat::SwappedTarget)) return {};
    return fail(Errc::Denied, "target " + watch.target + " has the host's files, so it is no container, and only containers are watched");
}

}  // namespace recap::launcher
