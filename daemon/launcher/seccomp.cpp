// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/seccomp.hpp"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

namespace {

// What no payload may ever do: change the kernel, its mounts or its namespaces, reach files by handle, or use interfaces whose
// reach cannot be bounded here. The rest is left to the plan's filter, to capabilities and to namespaces.
constexpr std::array kForbidden{
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_create_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot,
    SYS_swapon, SYS_swapoff, SYS_iopl, SYS_ioperm, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_nfsservctl, SYS_uselib,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    SYS_setns, SYS_unshare, SYS_open_by_handle_at, SYS_bpf, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_lookup_dcookie, SYS_vhangup,
};

constexpr sock_filter statement(unsigned code, std::uint32_t value) { return {static_cast<std::uint16_t>(code), 0, 0, value}; }
constexpr sock_filter jump(unsigned code, std::uint32_t value, unsigned yes, unsigned no) {
    return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), value};
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
        jump(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),  // x32
        statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    static_assert(kForbidden.size() < 255, "jumps are bytes");
    for (std::size_t i = 0; i < kForbidden.size(); ++i)
        filter.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(kForbidden[i]), static_cast<unsigned>(kForbidden.size() - i), 0));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
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
    const sock_fprog program{static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};  // NOLINT: the kernel reads
    return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

}  // namespace recap::launcher
