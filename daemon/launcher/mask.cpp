// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

// What procfs tells of the whole host, in no namespace, to whoever is uid 0. Some are absent here or there.
constexpr const char* kHostWide[] = {"kcore",    "keys",        "kmsg",       "timer_list", "sched_debug", "latency_stats",
                                     "slabinfo", "vmallocinfo", "kpagecount", "kpageflags", "kpagecgroup", "allocinfo"};

}  // namespace

// Container runtimes cover these files with /dev/null, and a procfs that is mounted anew has them bare again (threat T8). Other
// users are kept out of them by their modes.
int maskProc(Attach& attach, int proc) {
    if ((attach.plan.uid != 0 && attach.plan.capabilities == 0) || weakened(Threat::DivertedMounts)) return 0;
    for (const char* name : kHostWide) {
        UniqueFd null(::open_tree(attach.devices.get(), "null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        if (!null) return -1;
        if (::move_mount(null.get(), "", proc, name, MOVE_MOUNT_F_EMPTY_PATH) != 0 && errno != ENOENT) return -1;
    }
    return 0;
}

}  // namespace recap::launcher
