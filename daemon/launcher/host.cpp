// SPDX-License-Identifier: Apache-2.0
// What a plan has of the host's, by way of a target that shares it: nothing, unless the ceiling's host-namespaces allows it. Then the
// target is a container, with files of its own, for else any process of the host's would do; and the capsule is the target's user and
// has no more of it than the target: a capsule there reaches none of the host's abstract sockets, and looks into none of its processes
// (landlock.cpp), which a process with such a one's uid could otherwise trace, and by its root reach the host's files.
#include <algorithm>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/refusal.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

// What of the host's only a Landlock domain keeps a capsule within its bounds in.
constexpr std::uint32_t kScoped = kNsNet | kNsPid;

Result<void> checkAllowed(const Plan& plan, std::uint32_t shared, const Ceiling& ceiling) {
    for (std::size_t turn = 1; turn <= kNamespaces; ++turn) {
        const std::size_t i = turn % kNamespaces;  // pid last: who shares it shares more, and the first is what is named
        if ((shared >> i & 1) == 0 || (ceiling.hostNamespaces & kHostNamespaces) >> i & 1) continue;
        std::string what = "would join the host's " + namespaceNames(1u << i) + " namespace: target " + plan.target;
        what += " shares it with the host";
        if ((kHostNamespaces >> i & 1) != 0) return denied("host-namespaces", what);
        return fail(Errc::Denied, std::move(what));
    }
    return {};
}

// Whoever chooses the target would else choose the user and the rights too.
Result<void> checkContainer(const Plan& plan, const TargetFacts& facts, const HostIds& host, const std::string& where) {
    if ((facts.hostNamespaces & kNsMnt) == 0 && FolderId{facts.rootDevice, facts.rootInode} != host.root) return {};
    return fail(Errc::Denied, "target " + plan.target + " has the host's files, so it is no container, and " + where +
                                  " is joined by way of containers only");
}

Result<void> checkUser(const Plan& plan, const TargetFacts& facts, const std::string& where) {
    constexpr std::uint32_t kNobody = 65534;
    const auto theirs = [&](std::uint32_t gid) {
        return gid == facts.gid || gid == kNobody || std::ranges::find(facts.groups, gid) != facts.groups.end();
    };
    if ((plan.uid == facts.uid || plan.uid == kNobody) && theirs(plan.gid) && std::ranges::all_of(plan.groups, theirs)) return {};
    return fail(Errc::Denied, "a capsule in " + where + " is target " + plan.target + "'s own user, or 65534: user = \"target\"");
}

}  // namespace

// Among processes that are joined by way of /proc/PID/root.
bool reachesFiles(const Plan& plan) { return plan.view != View::None || plan.processes == Processes::Join; }

std::uint32_t usedNamespaces(const Plan& plan) {
    std::uint32_t used = plan.namespaces;
    if (plan.processes != Processes::None) used |= kNsPid;
    if (reachesFiles(plan)) used |= kNsMnt;
    return used;
}

std::uint32_t hostNamespaces(const Plan& plan, const HostIds& host) {
    std::uint32_t of = 0;
    for (std::size_t i = 0; i < kNamespaces; ++i)
        if (plan.expected[i] == host.namespaces[i] || plan.expected[i] == host.first[i]) of |= 1u << i;
    return of & usedNamespaces(plan);
}

bool needsScope(std::uint32_t bits) { return (bits & kScoped) != 0; }

Result<void> checkHost(const Plan& plan, const TargetFacts& facts, const HostIds& host, const Ceiling& ceiling, std::uint64_t features) {
    const std::uint32_t shared = facts.hostNamespaces & usedNamespaces(plan);
    if (shared == 0 || weakened(Threat::SwappedTarget)) return {};
    if (auto allowed = checkAllowed(plan, shared, ceiling); !allowed) return allowed;
    const std::string where = "the host's " + namespaceNames(shared) + " namespace";
    if (auto container = checkContainer(plan, facts, host, where); !container) return container;
    if (auto user = checkUser(plan, facts, where); !user) return user;
    // Who owns a namespace of the host's is the host's user namespace, where the target's own capabilities count or do not.
    const bool elsewhere = (facts.hostNamespaces & kNsUser) == 0;
    const std::uint64_t counting = elsewhere && (plan.namespaces & kNsUser) != 0 ? 0 : plan.capabilities;
    if (const std::uint64_t beyond = counting & ~(elsewhere ? 0 : facts.capEffective); beyond != 0)
        return fail(Errc::Denied, "target " + plan.target + " has not " + capabilityNames(beyond) + ", and a capsule in " + where +
                                      " has no more than it");
    if (!needsScope(shared)) return {};
    if (plan.processes == Processes::Join)
        return fail(Errc::Denied, "processes = \"join\" does not go with " + where +
                                      ": a capsule there may look into no process; processes = \"observe\" lists them");
    if ((features & kFeatureScope) != 0) return {};
    return fail(Errc::NotSupported, "this kernel can't keep a capsule in " + where +
                                        " from the host's abstract sockets and processes: it lacks Landlock's scope (Linux 6.12)");
}

}  // namespace recap::launcher
