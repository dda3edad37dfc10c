// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "daemon/bus/doctor.hpp"
#include "daemon/core/launcher.hpp"

namespace recap::bus {
namespace {

constexpr const char* kFloor =
    "Linux 5.14 is the oldest that has what capsules need, 6.1 the oldest that is tested; 6.17 and newer have everything";

// One thing that capsules need or use, and how it is had: the way of new kernels, a longer one, or not at all.
struct Need {
    const char* check;
    std::uint64_t feature;
    std::uint64_t fallback;  // 0: there is none
    bool required;
    const char* works;
    const char* fallbackCosts;
    const char* absenceCosts;
    const char* advice;
};

constexpr std::array kNeeds{
    Need{"overlayfs", kCanLayer, kCanLayerByName, true, "layers are mounted by descriptor",
         "layers are mounted by name, in a mount namespace of each worker: a run's root takes longer to make where none was made ahead",
         "no capsule can run: overlayfs takes layers neither by descriptor nor by name",
         "Linux 6.13 or newer, with overlayfs, mounts layers by descriptor"},
    Need{"placement", kCanClonePlaced, 0, true, "capsules are born in their cgroup", "",
         "no capsule can run: clone3 does not place processes into cgroups",
         "Linux 5.7 or newer, and a cgroup v2 hierarchy that recap-launcher may use (Delegate=yes)"},
    Need{
        "observe", kCanObserve, kCanObserveByVisit, false, "a target's processes are shown from outside its pid namespace",
        "for processes = \"observe\" a confined process enters the target's pid namespace for one call: two forks more a run, and a target "
        "whose root stops or kills that process can keep itself from being observed",
        "processes = \"observe\" does not work: no procfs of another pid namespace", "Linux 6.17 or newer"},
    Need{"limits", kCanLimit, 0, false, "memory, cpu and pids are enforced", "",
         "a controller is missing: runs are refused unless limits = \"best-effort\"",
         "enable memory, cpu and pids for recap-launcher's cgroup, or set limits in /etc/recap/ceiling.toml"},
    Need{"cgroup.kill", kCanKillCgroup, 0, false, "a capsule's processes are killed as one", "",
         "a capsule that does not end is frozen and its processes are killed one by one: slower, and tried again until none is left",
         "Linux 5.14 or newer"},
    Need{"socket scope", kCanScopeSockets, 0, false, "a capsule that sees no processes of its target's reaches no abstract socket there",
         "", "a capsule in its target's network namespace can connect to the abstract unix sockets in it, without any file mode in the way",
         "Linux 6.12 or newer, with Landlock among its security modules (lsm=)"},
    Need{"memory.peak", kCanTellMemoryPeak, 0, false, "the most memory that a run used is told", "",
         "reports do not tell the most memory that a run used; its limit is enforced all the same", "Linux 5.19 or newer"},
    Need{"pids.peak", kCanTellPidsPeak, 0, false, "the most processes that a run had are told", "",
         "reports do not tell the most processes that a run had; its limit is enforced all the same", "Linux 6.11 or newer"},
};

bool has(std::uint64_t features, std::uint64_t one) { return (features & one) != 0; }

}  // namespace

void examineFeatures(std::uint64_t features, Rows& rows) {
    const auto lacks = [&](const Need& need) { return !has(features, need.feature); };
    const auto stops = [&](const Need& need) { return need.required && lacks(need) && !has(features, need.fallback); };
    const bool enough = std::ranges::none_of(kNeeds, stops);
    const bool all = std::ranges::none_of(kNeeds, lacks);
    if (!enough)
        add(rows, "kernel", "failed", "capsules can't run on it: see what failed below", kFloor);
    else if (!all)
        add(rows, "kernel", "warning", "has what capsules need, not all that they use: see the warnings below for what that costs", kFloor);
    else
        add(rows, "kernel", "ok", "has all that capsules use");
    for (const Need& need : kNeeds) {
        if (!lacks(need))
            add(rows, need.check, "ok", need.works);
        else if (has(features, need.fallback))
            add(rows, need.check, "warning", need.fallbackCosts, need.advice);
        else
            add(rows, need.check, need.required ? "failed" : "warning", need.absenceCosts, need.advice);
    }
}

}  // namespace recap::bus
