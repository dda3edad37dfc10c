// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/features.hpp"

#include <sched.h>
#include <sys/wait.h>

#include "daemon/launcher/fallback_overlay.hpp"
#include "daemon/launcher/fallback_procfs.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"

namespace recap::launcher {

namespace {

constexpr std::uint64_t kSmall = 1 << 20;

bool mountsForeignProcfs(int pidNamespace) {
    const UniqueFd context(::fsopen("proc", FSOPEN_CLOEXEC));
    return context && kernel::setFd(context.get(), "pidns", pidNamespace) == 0;
}

bool mountsVisitedProcfs(const Prepared& prepared, int pidNamespace) {
    const UniqueFd context = openProcOf(prepared, pidNamespace);
    const UniqueFd mount(context ? kernel::createMount(context.get(), MOUNT_ATTR_RDONLY) : -1);
    return mount && isProcfs(mount.get());
}

bool mountsLayer(Roots roots, const UniqueFd& layer) {
    Plan plan;
    plan.limits.scratch = kSmall;
    return layer && static_cast<bool>(roots.take(plan, {&layer, 1}));
}

bool mountsLayersByDescriptor() { return mountsLayer(Roots(), UniqueFd(makeTmpfs(kSmall, "755", 0, 0))); }

bool endsWell(pid_t child) {
    int status = -1;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return child > 0 && status == 0;
}

// In a child: the supervisor enters no namespace.
bool mountsLayersByName(const Prepared& prepared, int layers) {
    const pid_t child = ::fork();
    if (child != 0) return endsWell(child);
    auto workshop = Workshop::make(prepared, layers);
    ::_exit(workshop && mountsLayer(Roots(&*workshop), UniqueFd(::openat(workshop->layersFd(), ".", O_RDONLY | O_CLOEXEC))) ? 0 : 1);
}

bool clonesIntoCgroup(int cgroup) {
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(cgroup);
    const pid_t child = kernel::clone3(args);
    if (child == 0) ::_exit(0);
    return endsWell(child);
}

std::uint64_t probeMounts(const Prepared& prepared, int layers, std::uint64_t without) {
    std::uint64_t found = 0;
    const UniqueFd own(::openat(prepared.procfs->fd(), "self/ns/pid", O_RDONLY | O_CLOEXEC));
    if ((without & kFeatureObserve) == 0 && mountsForeignProcfs(own.get()))
        found |= kFeatureObserve;
    else if (mountsVisitedProcfs(prepared, own.get()))
        found |= kFeatureObserveByVisit;
    if ((without & kFeatureLayers) == 0 && mountsLayersByDescriptor())
        found |= kFeatureLayers;
    else if (mountsLayersByName(prepared, layers))
        found |= kFeatureLayersByName;
    return found;
}

}  // namespace

std::uint64_t fallbackFeature(std::string_view name) {
    if (name == "proc-pidns") return kFeatureObserve;
    if (name == "overlay-fd") return kFeatureLayers;
    if (name == "cgroup-kill") return kFeatureCgroupKill;
    if (name == "socket-scope") return kFeatureScope;
    return 0;
}

std::uint64_t probeFeatures(const Prepared& prepared, int layers, CgroupTree& cgroups, std::uint64_t without) {
    std::uint64_t found = probeMounts(prepared, layers, without);
    if (cgroups.checkLimits(LimitsMode::Enforced)) found |= kFeatureLimits;
    if ((without & kFeatureScope) == 0 && scopesSockets()) found |= kFeatureScope;
    if ((without & kFeatureCgroupKill) != 0) cgroups.doWithoutKill();
    constexpr Limits kSome{64u << 20, 100, 8, 1u << 20};
    auto cgroup = cgroups.create("probe", kSome);
    if (!cgroup) return found;
    if (clonesIntoCgroup(cgroup->open().get())) found |= kFeatureIntoCgroup;
    if (cgroup->killsWhole()) found |= kFeatureCgroupKill;
    if (cgroup->counts("memory")) found |= kFeatureMemoryPeak;
    if (cgroup->counts("pids")) found |= kFeaturePidsPeak;
    static_cast<void>(cgroups.remove(*cgroup));
    return found;
}

}  // namespace recap::launcher
