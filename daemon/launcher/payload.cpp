// SPDX-License-Identifier: Apache-2.0
// The last steps of an attach, in the process that becomes the payload. It is a vfork child: it shares the capsule init's memory
// and allocates nothing; the init sleeps until it executes or fails.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/weaken.hpp"

#include <linux/securebits.h>

namespace recap::launcher {

namespace {

int newSession(Attach& attach) {
    if (attach.plan.processes == Processes::Join) kernel::resetSignals();  // the init's own way of living there
    if (::setsid() < 0) return -1;
    constexpr int kJoinSessionKeyring = 1;
    // An own keyring, or none where the kernel has no keys; never the launcher's.
    if (::syscall(SYS_keyctl, kJoinSessionKeyring, nullptr) < 0 && errno != ENOSYS) return -1;
    return 0;
}

int setLimits(Attach& attach) {
    // 1, not 0: a core_pattern that is a pipe ignores 0 and would start a helper on the host (threat T23).
    const rlim_t most = weakened(Threat::CoreHelper) ? RLIM_INFINITY : 1;
    const rlimit core{most, most};
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
    const auto [uid, gid] = attach.identity;
    const bool joinsUsers = (attach.plan.namespaces & kNsUser) != 0;  // then the groups were set before, by the host's numbers
    if (!joinsUsers && ::syscall(SYS_setgroups, attach.plan.groups.size(), attach.plan.groups.data()) != 0) return -1;
    if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return -1;
    if (::syscall(SYS_setresuid, uid, uid, uid) != 0) return -1;
    // A new identity is dumpable where fs.suid_dumpable says so; until it executes, this process is still the launcher's (threat T1).
    if (!weakened(Threat::Tracing) && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return -1;
    return kernel::hasIdentity(uid, gid) ? 0 : -1;
}

// Inheritable, permitted, effective and ambient are exactly the plan's; the bounding set was emptied at the launcher's start.
int setCapabilities(Attach& attach) {
    // A payload that drops to another user by itself loses its capabilities as anywhere else.
    constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED;
    if (::prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) return -1;
    if (!weakened(Threat::Capabilities) && ::cap_set_proc(attach.capabilities) != 0) return -1;
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
    if (scopeSockets(attach) != 0) return -1;
    if (!weakened(Threat::SeccompHoles) && loadFilter(attach.prepared->ceilingFilter) != 0) return -1;
    return loadFilter(attach.filter);
}

int execute(Attach& attach) {
    return static_cast<int>(::syscall(SYS_execveat, attach.executable.get(), "", attach.argv.data(), attach.envp.data(), AT_EMPTY_PATH));
}

constexpr std::array kPayloadSteps{
    Step{"session", newSession},
    Step{"cgroup namespace", joinCgroupNamespace},
    Step{"rlimits", setLimits},
    Step{"stdio", setStdio},
    Step{"identity", setIdentity},
    Step{"capabilities", setCapabilities},
    Step{"descriptors", closeDescriptors},
    Step{"seccomp", setFilters},
    Step{"exec", execute},
};

// What a payload that shares no memory with its init says of a step that failed.
struct Failure {
    std::size_t step;
    int error;
};

struct Birth {
    Attach* attach;
    PayloadOutcome* outcome;
};

int becomePayload(void* argument) {
    auto& birth = *static_cast<Birth*>(argument);
    for (std::size_t i = 0; i < kPayloadSteps.size(); ++i) {
        faultPoint("payload", kPayloadSteps[i].name);
        if (kPayloadSteps[i].apply(*birth.attach) == 0) continue;
        const Failure failure{i, errno};
        birth.outcome->error = failure.error;
        birth.outcome->failedStep = kPayloadSteps[i].name;
        if (birth.attach->payloadNews >= 0) static_cast<void>(::write(birth.attach->payloadNews, &failure, sizeof(failure)) + 1);
        break;
    }
    ::_exit(127);
}

}  // namespace

namespace {

// The target can stop or kill what lives in its pid namespace: the init shares nothing with the payload there, and does not wait
// for it in the kernel (threat T15). The pipe closes as it executes.
pid_t startJoined(Attach& attach, int& pidfd, PayloadOutcome& outcome) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
    UniqueFd read(ends[0]), write(ends[1]);
    clone_args args{};
    args.flags = CLONE_PIDFD | CLONE_INTO_CGROUP;
    args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(attach.payloadCgroup.get());
    const pid_t payload = kernel::clone3(args);
    if (payload < 0) return payload;
    if (payload == 0) {
        PayloadOutcome own;
        attach.payloadNews = write.get();
        Birth birth{&attach, &own};
        becomePayload(&birth);
    }
    write.reset();
    Failure failure{};
    if (::read(read.get(), &failure, sizeof(failure)) != sizeof(failure)) return payload;
    outcome.error = failure.error;
    outcome.failedStep = kPayloadSteps[std::min(failure.step, kPayloadSteps.size() - 1)].name;
    return payload;
}

}  // namespace

pid_t startPayload(Attach& attach, int& pidfd, PayloadOutcome& outcome) {
    if (attach.plan.processes == Processes::Join) return startJoined(attach, pidfd, outcome);
    alignas(16) static char stack[64 * 1024];
    Birth birth{&attach, &outcome};
    return ::clone(becomePayload, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &birth, &pidfd);
}

}  // namespace recap::launcher
