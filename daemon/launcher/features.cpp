// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/features.hpp"

#include <sched.h>
#include <sys/wait.h>

#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/roots.hpp"

namespace recap::launcher {

namespace {

bool mountsForeignProcfs(const Procfs& procfs) {
    const UniqueFd own(::openat(procfs.fd(), "self/ns/pid", O_RDONLY | O_CLOEXEC));
    const UniqueFd context(::fsopen("proc", FSOPEN_CLOEXEC));
    return own && context && kernel::setFd(context.get(), "pidns", own.get()) == 0;
}

bool mountsLayersByDescriptor() {
    constexpr std::uint64_t kSmall = 1 << 20;
    UniqueFd layer(makeTmpfs(kSmall, "755", 0, 0));
    Plan plan;
    plan.limits.scratch = kSmall;
    return layer && static_cast<bool>(Roots().take(plan, {&layer, 1}));
}

bool clonesIntoCgroup(int cgroup) {
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(cgroup);
    const pid_t child = kernel::clone3(args);
    if (child == 0) ::_exit(0);
    int status = -1;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return child > 0 && status == 0;
}

}  // namespace

std::uint64_t probeFeatures(const Procfs& procfs, const CgroupTree& cgroups) {
    std::uint64_t found = 0;
    if (mountsForeignProcfs(procfs)) found |= kFeatureObserve;
    if (mountsLayersByDescriptor()) found |= kFeatureLayers;
    if (cgroups.checkLimits(LimitsMode::Enforced)) found |= kFeatureLimits;
    constexpr Limits kSome{64u << 20, 100, 8, 1u << 20};
    auto cgroup = cgroups.create("probe", kSome);
    if (!cgroup) return found;
    if (clonesIntoCgroup(cgroup->fd())) found |= kFeatureIntoCgroup;
    if (::faccessat(cgroup->fd(), "cgroup.kill", W_OK, 0) == 0) found |= kFeatureCgroupKill;
    static_cast<void>(cgroups.remove(*cgroup));
    return found;
}

}  // namespace recap::launcher
