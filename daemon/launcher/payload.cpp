// SPDX-License-Identifier: Apache-2.0
// The last steps of an attach, in the process that becomes the payload. It is a vfork child: it shares the capsule init's memory
// and allocates nothing; the init sleeps until it executes or fails.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <array>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/seccomp.hpp"

#include <linux/securebits.h>

namespace recap::launcher {

namespace {

int newSession(Attach&) {
    if (::setsid() < 0) return -1;
    constexpr int kJoinSessionKeyring = 1;
    // An own keyring, or none where the kernel has no keys; never the launcher's.
    if (::syscall(SYS_keyctl, kJoinSessionKeyring, nullptr) < 0 && errno != ENOSYS) return -1;
    return 0;
}

int setLimits(Attach& attach) {
    // 1, not 0: a core_pattern that is a pipe ignores 0 and would start a helper on the host (threat T23).
    const rlimit core{1, 1};
    const rlimit files{attach.plan.noFile, attach.plan.noFile};
    return ::setrlimit(RLIMIT_CORE, &core) == 0 && ::setrlimit(RLIMIT_NOFILE, &files) == 0 ? 0 : -1;
}

int setStdio(Attach& attach) {
    for (int i = 0; i < 3; ++i)
        if (::dup2(attach.stdio[static_cast<std::size_t>(i)].get(), i) < 0) return -1;
    if (controlTerminal(attach) != 0) return -1;
    return ::fchdir(attach.workdir.get());
}

// Raw calls: the C library's would tell other threads, and there is only this one.
int setIdentity(Attach& attach) {
    constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP;
    if (::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) return -1;
    if (::syscall(SYS_setgroups, attach.plan.groups.size(), attach.plan.groups.data()) != 0) return -1;
    if (::syscall(SYS_setresgid, attach.plan.gid, attach.plan.gid, attach.plan.gid) != 0) return -1;
    if (::syscall(SYS_setresuid, attach.plan.uid, attach.plan.uid, attach.plan.uid) != 0) return -1;
    return kernel::hasIdentity(attach.plan.uid, attach.plan.gid) ? 0 : -1;
}

// Inheritable, permitted, effective and ambient are exactly the plan's; the bounding set was emptied at the launcher's start.
int setCapabilities(Attach& attach) {
    // A payload that drops to another user by itself loses its capabilities as anywhere else.
    constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED;
    if (::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) return -1;
    if (::cap_set_proc(attach.capabilities) != 0) return -1;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return -1;
    for (unsigned long i = 0; i < 64; ++i)
        if ((attach.plan.capabilities >> i & 1) != 0 && ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) != 0) return -1;
    return 0;
}

int closeDescriptors(Attach& attach) {
    const unsigned keep = static_cast<unsigned>(attach.executable.get());
    if (keep > 3 && ::close_range(3, keep - 1, CLOSE_RANGE_CLOEXEC) != 0) return -1;
    return ::close_range(keep + 1, ~0u, CLOSE_RANGE_CLOEXEC);
}

int setFilters(Attach& attach) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    if (loadFilter(attach.prepared->ceilingFilter) != 0) return -1;
    return loadFilter(attach.filter);
}

int execute(Attach& attach) {
    return static_cast<int>(::syscall(SYS_execveat, attach.executable.get(), "", attach.argv.data(), attach.envp.data(), AT_EMPTY_PATH));
}

constexpr std::array kPayloadSteps{
    Step{"session", newSession},
    Step{"rlimits", setLimits},
    Step{"stdio", setStdio},
    Step{"identity", setIdentity},
    Step{"capabilities", setCapabilities},
    Step{"descriptors", closeDescriptors},
    Step{"seccomp", setFilters},
    Step{"exec", execute},
};

struct Birth {
    Attach* attach;
    PayloadOutcome* outcome;
};

int becomePayload(void* argument) {
    auto& birth = *static_cast<Birth*>(argument);
    for (const auto& step : kPayloadSteps) {
        if (step.apply(*birth.attach) == 0) continue;
        birth.outcome->error = errno;
        birth.outcome->failedStep = step.name;
        break;
    }
    ::_exit(127);
}

}  // namespace

pid_t startPayload(Attach& attach, int& pidfd, PayloadOutcome& outcome) {
    alignas(16) static char stack[64 * 1024];
    Birth birth{&attach, &outcome};
    return ::clone(becomePayload, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &birth, &pidfd);
}

}  // namespace recap::launcher
