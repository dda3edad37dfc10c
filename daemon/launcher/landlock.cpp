// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

namespace {

// Debian 12's headers know only the first member.
struct Ruleset {
    std::uint64_t files = 0;
    std::uint64_t network = 0;
    std::uint64_t scoped = 0;
};
constexpr std::uint64_t kScopeAbstractSockets = 1;

constexpr long kFirstAbiWithScope = 6;

}  // namespace

bool scopesSockets() {
    return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1u << 0 /* LANDLOCK_CREATE_RULESET_VERSION */) >= kFirstAbiWithScope;
}

// Whoever shares a network namespace reaches every abstract unix socket in it, and no file mode is in the way: a capsule connects to
// its own only (threat T21). A process in such a domain may also look into no process outside of it (the kernel's rule for
// ptrace(2)), which a capsule that is given the target's processes is there for: that one goes without. So does a kernel before 6.12.
// In the host's namespaces nobody goes without: START has refused it where this kernel can't (host.cpp).
int scopeSockets(Attach& attach) {
    const bool host = needsScope(hostNamespaces(attach.plan, attach.prepared->host));
    const bool looks = attach.plan.processes != Processes::None;
    const bool can = (attach.prepared->features & kFeatureScope) != 0;
    if (weakened(Threat::AbstractSockets) || (!host && (looks || !can))) return 0;
    const Ruleset ruleset{0, 0, kScopeAbstractSockets};
    const long fd = ::syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    if (fd < 0) return -1;
    const long restricted = ::syscall(SYS_landlock_restrict_self, fd, 0);
    const int error = errno;
    ::close(static_cast<int>(fd));
    errno = error;
    return restricted == 0 ? 0 : -1;
}

}  // namespace recap::launcher
