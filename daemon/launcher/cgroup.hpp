// SPDX-License-Identifier: Apache-2.0
// Capsules' own cgroups: one below <root>/c for each, on the unified hierarchy, and beside it on v1's memory, cpu and pids where
// the unified one lacks these controllers (hybrid hosts). Never the target's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/procfs.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

struct CgroupUsage {
    std::uint64_t cpuUsec = 0;
    std::uint64_t cpuSystemUsec = 0;  // of that
    std::uint64_t memoryPeak = 0;
    std::uint64_t pidsPeak = 0;
    bool outOfMemory = false;
};

// Below a capsule's cgroup, where it joins the target's processes: all of it but its init.
inline constexpr const char* kPayloadCgroup = "payload";

class CgroupTree;

// One capsule's, by its name: thousands of them live at once, and none holds a descriptor. Removed by CgroupTree::remove().
class Cgroup {
public:
    UniqueFd open() const;                  // for clone3(CLONE_INTO_CGROUP)
    std::vector<UniqueFd> v1Procs() const;  // cgroup.procs to write "0" to, in the child
    const std::vector<std::string>& unenforced() const { return unenforced_; }
    bool populated() const;
    void kill() const;  // every process in it; the cgroup is of no further use
    // Out of memory, one process dies and not all at once: an init that joined the target's processes has the others to reap.
    void spareInit() const;
    void killPayload() const;  // every process in it but the init
    bool killsWhole() const;   // by one write (Linux 5.14); else it is frozen and its processes killed one by one
    CgroupUsage usage() const;
    bool counts(const char* controller) const;  // the most of it that was used, for usage(): "memory" or "pids"

private:
    friend class CgroupTree;
    UniqueFd openV1(std::string_view controller) const;

    const CgroupTree* tree_ = nullptr;  // outlives this
    std::string id_;
    std::vector<std::string> unenforced_;
};

class CgroupTree {
public:
    // `root`: a folder on the unified hierarchy ("": below the launcher's own cgroup). `useV1`: hybrid controllers too.
    static Result<CgroupTree> open(const Procfs& procfs, std::string_view root, bool useV1);

    // Before anything happens: a limit whose controller is missing refuses by name, unless `mode` is best effort.
    Result<void> checkLimits(LimitsMode mode) const;
    // A limit whose controller is missing is listed in unenforced(). `parked`: those of version 1 become the capsule's.
    Result<Cgroup> create(const std::string& id, const Limits& limits, const std::optional<std::string>& parked = {}) const;
    // Cgroups of version 1 for a worker to wait in (parking.hpp): their cgroup.procs. removeLate() removes them too.
    bool parks() const { return !v1_.empty(); }
    Result<std::vector<UniqueFd>> makeParking(const std::string& name) const;
    // True when nothing of it is left; Errc::Busy when a process is still in it.
    Result<void> remove(const Cgroup& cgroup) const;
    bool exists(const std::string& id) const;
    // Kills and removes what an earlier launcher left, for two seconds at most.
    struct Swept {
        unsigned removed = 0;
        std::vector<std::string> left;  // ids that would not go: for removeLate()
    };
    Swept sweep() const;
    // What an earlier remove() could not: kills what is still in it and tries again. Whether nothing is left.
    bool removeLate(const std::string& id) const;
    void doWithoutKill() { withoutKill_ = true; }  // as if the kernel had no cgroup.kill
    const std::string& path() const { return path_; }
    // As /proc/PID/cgroup shows a capsule's: starts with this.
    std::string capsulesPrefix() const { return "/" + relative_ + "/c/"; }

private:
    friend class Cgroup;
    struct V1Root {
        std::string controller;
        UniqueFd dir;
    };
    Result<void> enableControllers();
    Result<void> openV1(const std::vector<MountLine>& mounts, const std::string& relative);
    const V1Root* v1(std::string_view controller) const;
    bool unified(std::string_view controller) const;
    Result<void> limit(Cgroup& cgroup, const Limits& limits, const std::optional<std::string>& parked) const;

    std::string path_;
    std::string relative_;  // path_ from the hierarchy's mount point
    UniqueFd root_;
    UniqueFd capsules_;  // <root>/c
    std::vector<std::string> controllers_;
    std::vector<V1Root> v1_;
    bool withoutKill_ = false;
};

}  // namespace recap::launcher
