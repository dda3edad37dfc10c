// SPDX-License-Identifier: Apache-2.0
// capsule-init: the capsule's first process, PID 1 of its own pid namespace. It builds the sandbox around itself, starts the
// payload inside, gives up every right, reaps, and dies last: the kernel then ends what is left in the namespace.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>
#include <vector>

#include "daemon/launcher/attach.hpp"
#include "daemon/launcher/fault.hpp"
#include "daemon/launcher/freezer.hpp"
#include "daemon/launcher/kernel.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "daemon/launcher/transport.hpp"
#include "daemon/launcher/weaken.hpp"

#ifdef RECAP_TEST_WEAKEN
#include <pwd.h>
#endif

namespace recap::launcher {

namespace {

// Cgroups of version 1 are entered here; the unified one at birth (clone3).
int enterV1Cgroups(Attach& attach) {
    for (const auto& procs : attach.v1Procs)
        if (::write(procs.get(), "0", 1) != 1) return -1;
    return 0;
}

// Nobody counts against the capsule's limits, nor in what is told of it, but the capsule.
int awaitAlone(Attach& attach) {
    if (!attach.alone || weakened(Threat::Stalling)) return 0;
    char none = 0;
    ssize_t size = 0;
    do size = ::read(attach.alone.get(), &none, 1);
    while (size < 0 && errno == EINTR);
    return size == 0 ? 0 : -1;
}

// Where the host runs out of memory, a capsule goes before what it is attached to.
int offerToOom(Attach& attach) {
    UniqueFd score(::openat(attach.prepared->procfs->fd(), "self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    return score && ::write(score.get(), "900", 3) == 3 ? 0 : -1;
}

int awaitTarget(Attach& attach) { return attach.frozen ? awaitFrozen(attach.frozen.get()) : 0; }

int cloneDevices(Attach& attach) {
    attach.devices.reset(::open_tree(attach.prepared->device.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    return attach.devices ? 0 : -1;
}

int buildCapabilities(Attach& attach) {
    attach.capabilities = ::cap_init();
    if (attach.capabilities == nullptr) return -1;
    for (cap_value_t value = 0; value < 64; ++value) {
        if ((attach.plan.capabilities >> value & 1) == 0) continue;
        for (auto set : {CAP_EFFECTIVE, CAP_PERMITTED, CAP_INHERITABLE})
            if (::cap_set_flag(attach.capabilities, set, 1, &value, CAP_SET) != 0) return -1;
    }
    return 0;
}

constexpr std::array kInitSteps{
    // order is the design: no file of the target is ever looked up by path, and all mounts are made before any of the target's
    // namespaces is joined, so that the target has no right over them
    Step{"cgroup", enterV1Cgroups},
    Step{"freeze", awaitTarget},
    Step{"target's files", cloneTarget},
    Step{"layers", cloneLayers},
    Step{"devices", cloneDevices},
    Step{"processes", mountProcesses},
    Step{"artifacts", mountArtifacts},
    Step{"mount namespace", enterSeed},
    Step{"merged root", mergeRoot},
    Step{"root", enterRoot},
    Step{"view", showTarget},
    Step{"foreign mounts", omitForeign},
    Step{"submounts", mergeSubmounts},
    Step{"writes", allowWrites},
    Step{"mounts", populateRoot},
    Step{"executable", openExecutable},
    Step{"workdir", openWorkdir},
    Step{"namespaces", joinNamespaces},
    Step{"namespace check", verifyNamespaces},
    Step{"capability sets", buildCapabilities},
    Step{"parked worker", awaitAlone},
};

void tell(const Attach& attach, InitNews news, int value, std::string_view text = {}, std::span<const int> fds = {}) {
    const InitMessage message{news, value, monotonicUsec()};
    std::string bytes(reinterpret_cast<const char*>(&message), sizeof(message));
    bytes += text;
    static_cast<void>(sendMessage(attach.report.get(), bytes, fds));
}

void tellAttached(const Attach& attach) {
    std::string omitted;
    for (const auto& mount : attach.omitted) omitted += mount + '\0';
    int which = 0;
    std::vector<int> fds;
    for (const auto& [bit, fd] : {std::pair{kArtifactsFd, &attach.artifacts}, {kUpperFd, &attach.upper}}) {
        if (!*fd) continue;
        which |= bit;
        fds.push_back(fd->get());
    }
    tell(attach, InitNews::Attached, which, omitted, fds);
}

[[noreturn]] void failStep(const Attach& attach, const char* step, int error) {
    if (attach.plan.processes == Processes::Join)
        while (::wait4(-1, nullptr, 0, nullptr) > 0 || errno == EINTR) continue;
    std::string text = step;
    if (!attach.subject.empty()) text.append(" ").append(attach.subject);
    tell(attach, InitNews::Failed, error, text);
    ::_exit(1);
}

constexpr int kReportFd = 3, kKillFd = 4;  // what is kept after giveUpRights()
constexpr int kOrphanSignal = 63;          // one that nobody sends for another reason
volatile int payloadKill = -1;             // cgroup.kill of the payload's cgroup
volatile std::sig_atomic_t orphaned = 0;

void killPayload(int) {
    orphaned = 1;
    static_cast<void>(::write(payloadKill, "1", 1) + 1);
}

// Where the target's processes are joined, an init that dies with its supervisor would leave what it has not reaped to the target's
// first process: it is told instead, kills the payload, reaps, and ends by itself.
void outliveSupervisor(const Attach& attach) {
    if ((attach.prepared->features & kFeatureCgroupKill) == 0) return;
    payloadKill = ::openat(attach.payloadCgroup.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC);
    struct sigaction action {};
    action.sa_handler = killPayload;
    action.sa_flags = SA_RESTART;
    if (payloadKill >= 0 && ::sigaction(kOrphanSignal, &action, nullptr) == 0) ::prctl(PR_SET_PDEATHSIG, kOrphanSignal, 0, 0, 0);
}

// After the payload executes this process needs to wait, to tell and to exit: it keeps nothing else. With the payload's own uid it
// would share a fate with it; as root without capabilities, behind a filter, in a mount namespace of the capsule, it is no prize.
void giveUpRights(const Attach& attach) {
    if (payloadKill >= 0) payloadKill = ::fcntl(payloadKill, F_DUPFD, kKillFd + 1);
    ::dup2(attach.report.get(), kReportFd);
    if (payloadKill >= 0) payloadKill = ::dup2(payloadKill, kKillFd);
    ::close_range(0, kReportFd - 1, 0);
    ::close_range((payloadKill >= 0 ? kKillFd : kReportFd) + 1, ~0u, 0);
    cap_t none = ::cap_init();
    ::prctl(PR_SET_SECUREBITS, 0x3 /* NOROOT, locked */, 0, 0, 0);
    ::cap_set_proc(none);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_DUMPABLE, weakened(Threat::Tracing) ? 1 : 0, 0, 0, 0);  // what it was loses it with its capabilities
    constexpr std::array kCalls{SYS_wait4, SYS_sendmsg, SYS_exit_group, SYS_clock_gettime, SYS_brk, SYS_rt_sigreturn, SYS_write};
    std::vector<sock_filter> filter{{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)}};
    for (std::size_t i = 0; i < kCalls.size(); ++i)
        filter.push_back(
            {BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint8_t>(kCalls.size() - i), 0, static_cast<std::uint32_t>(kCalls[i])});
    filter.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS});
    filter.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
    loadFilter(filter);
}

// Where the target's processes are joined this lives until the last process of the capsule is reaped, killed by its cgroup if need be.
[[noreturn]] void reapUntilDone(pid_t payload, bool joined) {
    for (;;) {
        int status = 0;
        const pid_t pid = ::wait4(-1, &status, 0, nullptr);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0 && joined) ::_exit(0);
        if (pid != payload && pid > 0) continue;
        faultPoint("init", "exited");
        const InitMessage message{InitNews::Exited, status, monotonicUsec()};
        const std::string_view bytes(reinterpret_cast<const char*>(&message), sizeof(message));
        static_cast<void>(sendMessage(kReportFd, bytes));
        if (!joined) ::_exit(0);
    }
}

// In a pid namespace of the target's: orphans of the capsule come to this process, and signals that can be ignored are.
void liveAmongOthers() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    for (int number = 1; number <= 64; ++number)
        if (number != SIGCHLD) ::signal(number, SIG_IGN);
}

// In a joined pid namespace the target's own ps shows it, where the launcher's arguments would tell of the host.
void takeName(std::span<char> commandLine) {
    constexpr std::string_view name = "capsule-init";
    ::prctl(PR_SET_NAME, name.data(), 0, 0, 0);
    if (commandLine.size() <= name.size()) return;
    std::fill(commandLine.begin(), commandLine.end(), '\0');
    std::copy(name.begin(), name.end(), commandLine.begin());
}

}  // namespace

std::uint64_t monotonicUsec() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

void runCapsuleInit(Attach& attach) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    takeName(attach.prepared->commandLine);
    ::close(attach.worker);
    if (attach.plan.processes == Processes::Join) liveAmongOthers();
    if (offerToOom(attach) != 0) failStep(attach, "oom score", errno);
    for (const auto& next : kInitSteps) {
        faultPoint("init", next.name);
        if (next.apply(attach) != 0) failStep(attach, next.name, errno);
    }
#ifdef RECAP_TEST_WEAKEN
    if (weakened(Threat::ForeignLibraries)) static_cast<void>(::getpwuid(attach.plan.uid));
#endif
    faultPoint("init", "attached");
    tellAttached(attach);
    faultPoint("init", "payload");
    int pidfd = -1;
    PayloadOutcome outcome;
    if (attach.plan.processes == Processes::Join) outliveSupervisor(attach);
    const pid_t payload = startPayload(attach, pidfd, outcome);
    if (orphaned != 0) killPayload(kOrphanSignal);  // it was not there yet when the supervisor died
    if (payload < 0) failStep(attach, "fork", errno);
    if (outcome.failedStep != nullptr) failStep(attach, outcome.failedStep, outcome.error);
    faultPoint("init", "executing");
    tell(attach, InitNews::Executing, 0, {}, {{pidfd}});
    faultPoint("init", "rights");
    giveUpRights(attach);
    faultPoint("init", "reaping");
    reapUntilDone(payload, attach.plan.processes == Processes::Join);
}

}  // namespace recap::launcher
