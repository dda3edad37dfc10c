// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/seccomp.hpp"

#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <map>
#include <utility>

#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

namespace {

// What no payload may ever do: change the kernel, its mounts or its namespaces, reach files by handle, or use interfaces whose
// reach cannot be bounded here. The rest is left to the plan's filter, to capabilities and to namespaces.
constexpr int kOpenTreeAttr = 467;  // since Linux 6.15; Debian 12's headers do not know it
// clang-format off
constexpr std::array kForbidden{
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_create_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot,
    SYS_swapon, SYS_swapoff, SYS_iopl, SYS_ioperm, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_nfsservctl, SYS_uselib,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    kOpenTreeAttr,
    SYS_setns, SYS_unshare, SYS_open_by_handle_at, SYS_bpf, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_lookup_dcookie, SYS_vhangup,
};
// clang-format on

constexpr sock_filter statement(unsigned code, std::uint32_t value) { return {static_cast<std::uint16_t>(code), 0, 0, value}; }
constexpr sock_filter jump(unsigned code, std::uint32_t value, unsigned yes, unsigned no) {
    return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), value};
}

// What the ceiling says of one system call number. A namespace of the payload's own would give it rights over itself that nobody
// gave it, and a kernel's larger surface: clone(2) is looked into, and clone3(2), whose flags no filter can read, is absent.
// The limit of core files stays: at 1 no helper of the host's is started for a payload that crashes, at 0 it would be (threat T23).
enum class Verdict { Allow, Kill, Clone, Absent, SetLimit, ExchangeLimit, Ioctl };
using Border = std::pair<std::uint32_t, Verdict>;  // from this number on, to the next border

constexpr std::uint32_t kX32 = 0x40000000;
constexpr std::uint32_t kNewNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// Half of an argument into A; arguments lie in memory with the lower half first.
constexpr sock_filter argument(unsigned number, bool upperHalf = false) {
    return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * number + (upperHalf ? 4 : 0)));
}

void appendCoreLimit(std::vector<sock_filter>& filter, unsigned resourceArgument) {
    filter.push_back(argument(resourceArgument));
    filter.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CORE, 0, 1));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

// prlimit64(pid, resource, new, old): without a new limit it only asks.
void appendExchange(std::vector<sock_filter>& filter) {
    filter.push_back(argument(2));
    filter.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3));
    filter.push_back(argument(2, true));
    filter.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    appendCoreLimit(filter, 1);
}

// Of a terminal: to type into it for others, to paste, to turn the console's output its way, and another line discipline, for which
// the kernel would load a module. A request is an int: the kernel does not look at the upper half (threat T20).
void appendIoctl(std::vector<sock_filter>& filter) {
    constexpr std::array<std::uint32_t, 4> kDenied{TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD};
    filter.push_back(argument(1));
    for (std::size_t i = 0; i < kDenied.size(); ++i)
        filter.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, kDenied[i], static_cast<unsigned>(kDenied.size() - i), 0));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
}

void appendLeaf(std::vector<sock_filter>& filter, Verdict verdict) {
    switch (verdict) {
        case Verdict::Allow: return filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
        case Verdict::Kill: return filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
        case Verdict::Absent: return filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
        case Verdict::SetLimit: return appendCoreLimit(filter, 0);
        case Verdict::ExchangeLimit: return appendExchange(filter);
        case Verdict::Ioctl: return appendIoctl(filter);
        case Verdict::Clone: break;
    }
    filter.push_back(argument(0));  // flags are an unsigned long of which the kernel takes the lower half
    filter.push_back(jump(BPF_JMP | BPF_JSET | BPF_K, kNewNamespaces, 0, 1));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

// A search tree over the borders, with the number in A. Loading a filter costs the kernel a walk for each system call that there
// is: a list of comparisons takes some 200 µs, this a quarter of it.
void appendTree(std::vector<sock_filter>& filter, std::span<const Border> borders) {
    if (borders.size() == 1) return appendLeaf(filter, borders[0].second);
    const std::size_t middle = borders.size() / 2;
    const std::size_t at = filter.size();
    filter.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, borders[middle].first, 0, 0));
    appendTree(filter, borders.first(middle));
    filter[at].jt = static_cast<std::uint8_t>(filter.size() - at - 1);  // some 60 borders: jumps fit their byte
    appendTree(filter, borders.subspan(middle));
}

bool allowedReturn(std::uint32_t value) {
    const std::uint32_t data = value & SECCOMP_RET_DATA;
    switch (value & SECCOMP_RET_ACTION_FULL) {
        case SECCOMP_RET_ALLOW:
        case SECCOMP_RET_LOG:
        case SECCOMP_RET_KILL_PROCESS: return true;
        case SECCOMP_RET_ERRNO: return data >= 1 && data <= 4095;
        default: return false;
    }
}

}  // namespace

std::vector<sock_filter> ceilingFilter() {
    std::vector<sock_filter> filter{
        statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        jump(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    };
    std::map<std::uint32_t, Verdict> borders{{0, Verdict::Allow}, {kX32, Verdict::Kill}};
    const auto single = [&](int number, Verdict verdict) {
        const auto at = static_cast<std::uint32_t>(number);
        borders[at] = verdict;
        borders.try_emplace(at + 1, Verdict::Allow);
    };
    for (const int number : kForbidden) single(number, Verdict::Kill);
    single(SYS_clone, Verdict::Clone);
    single(SYS_clone3, Verdict::Absent);
    single(SYS_setrlimit, Verdict::SetLimit);
    single(SYS_prlimit64, Verdict::ExchangeLimit);
    single(SYS_ioctl, Verdict::Ioctl);
    std::vector<Border> merged;
    for (const auto& border : borders)
        if (merged.empty() || merged.back().second != border.second) merged.push_back(border);
    appendTree(filter, merged);
    return filter;
}

Result<std::vector<sock_filter>> readFilter(std::span<const std::uint64_t> wire) {
    if (wire.empty()) return fail(Errc::InvalidArgument, "the plan has no seccomp program");
    if (wire.size() > kMaxFilter) return fail(Errc::LimitExceeded, "a seccomp program of " + std::to_string(wire.size()) + " instructions");
    std::vector<sock_filter> filter;
    filter.reserve(wire.size());
    for (std::uint64_t raw : wire) {
        const sock_filter one{static_cast<std::uint16_t>(raw), static_cast<std::uint8_t>(raw >> 16), static_cast<std::uint8_t>(raw >> 24),
                              static_cast<std::uint32_t>(raw >> 32)};
        const bool returns = BPF_CLASS(one.code) == BPF_RET;
        if (returns && (one.code != (BPF_RET | BPF_K) || !allowedReturn(one.k)))
            return fail(Errc::Denied, "seccomp program: instruction " + std::to_string(filter.size()) +
                                          " returns something else than ALLOW, LOG, KILL_PROCESS or ERRNO 1 to 4095");
        filter.push_back(one);
    }
    return filter;
}

int loadFilter(const std::vector<sock_filter>& filter) {
    const sock_fprog program{static_cast<unsigned short>(filter.size()),
                             const_cast<sock_filter*>(filter.data())};  // NOLINT: the kernel reads
    return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

}  // namespace recap::launcher
