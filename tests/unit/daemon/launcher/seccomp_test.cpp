// SPDX-License-Identifier: Apache-2.0
// The ceiling filter, asked about every system call that there is.
#include "daemon/launcher/seccomp.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "tests/unit/daemon/plan/bpf.hpp"

using namespace recap::launcher;

namespace {

// The list of what no payload may ever do, written down a second time.
// clang-format off
const std::set<std::uint32_t> kKilled{
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_create_module, SYS_kexec_load, SYS_kexec_file_load,
    SYS_reboot, SYS_swapon, SYS_swapoff, SYS_iopl, SYS_ioperm, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_nfsservctl, SYS_uselib,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
    SYS_mount_setattr, 467 /* open_tree_attr */, SYS_setns, SYS_unshare, SYS_open_by_handle_at, SYS_bpf, SYS_userfaultfd,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_lookup_dcookie,
    SYS_vhangup};
// clang-format on

std::uint32_t answer(std::uint32_t number, std::array<std::uint64_t, 3> args = {}, std::uint32_t arch = AUDIT_ARCH_X86_64) {
    static const std::vector<std::uint64_t> wire = [] {
        std::vector<std::uint64_t> words;
        for (const sock_filter& one : ceilingFilter()) std::memcpy(&words.emplace_back(), &one, sizeof one);
        return words;
    }();
    seccomp_data call{};
    call.nr = static_cast<int>(number);
    call.arch = arch;
    std::ranges::copy(args, call.args);
    const auto result = recap::test::runFilter(wire, call);
    EXPECT_TRUE(result) << "no answer for " << number;
    return result.value_or(0);
}

}  // namespace

TEST(CeilingFilter, KillsWhatNoPayloadMayDoAndLeavesTheRestToThePlan) {
    for (std::uint32_t number = 0; number < 1024; ++number) {
        if (number == std::uint32_t{SYS_setrlimit}) continue;  // below
        const std::uint32_t expected = kKilled.contains(number)              ? SECCOMP_RET_KILL_PROCESS
                                       : number == std::uint32_t{SYS_clone3} ? SECCOMP_RET_ERRNO | ENOSYS
                                                                             : SECCOMP_RET_ALLOW;
        EXPECT_EQ(answer(number), expected) << number;
    }
}

TEST(CeilingFilter, KillsX32AndOtherArchitectures) {
    for (const std::uint32_t number : {0u, 59u, 322u, 1023u}) {
        EXPECT_EQ(answer(0x40000000u | number), SECCOMP_RET_KILL_PROCESS) << number;
        EXPECT_EQ(answer(number, {}, AUDIT_ARCH_I386), SECCOMP_RET_KILL_PROCESS) << number;
    }
    EXPECT_EQ(answer(0xffffffffu), SECCOMP_RET_KILL_PROCESS);
}

TEST(CeilingFilter, RefusesACloneIntoNewNamespaces) {
    for (const int bit : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET}) {
        const auto flag = static_cast<std::uint64_t>(bit);
        EXPECT_EQ(answer(SYS_clone, {flag}), SECCOMP_RET_ERRNO | EPERM) << flag;
        EXPECT_EQ(answer(SYS_clone, {flag | CLONE_VM | 17}), SECCOMP_RET_ERRNO | EPERM) << flag;
    }
    EXPECT_EQ(answer(SYS_clone, {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(answer(SYS_fork), SECCOMP_RET_ALLOW);
}

TEST(CeilingFilter, LeavesATerminalToItsUsersOnly) {
    for (const std::uint64_t request : {TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD}) {
        EXPECT_EQ(answer(SYS_ioctl, {0, request}), SECCOMP_RET_ERRNO | EPERM) << request;
        EXPECT_EQ(answer(SYS_ioctl, {0, 1ull << 32 | request}), SECCOMP_RET_ERRNO | EPERM) << "the kernel reads 32 bits";
    }
    for (const std::uint64_t request : {TCGETS, TIOCSWINSZ, TIOCSCTTY, FIONBIO})
        EXPECT_EQ(answer(SYS_ioctl, {0, request}), SECCOMP_RET_ALLOW);
}

TEST(CeilingFilter, KeepsTheLimitOfCoreFiles) {
    EXPECT_EQ(answer(SYS_setrlimit, {RLIMIT_CORE}), SECCOMP_RET_ERRNO | EPERM);
    EXPECT_EQ(answer(SYS_setrlimit, {1ull << 32 | RLIMIT_CORE}), SECCOMP_RET_ERRNO | EPERM) << "the kernel reads 32 bits";
    EXPECT_EQ(answer(SYS_setrlimit, {RLIMIT_NOFILE}), SECCOMP_RET_ALLOW);
    EXPECT_EQ(answer(SYS_prlimit64, {0, RLIMIT_CORE, 0}), SECCOMP_RET_ALLOW) << "only asks";
    EXPECT_EQ(answer(SYS_prlimit64, {0, RLIMIT_CORE, 0x1000}), SECCOMP_RET_ERRNO | EPERM);
    EXPECT_EQ(answer(SYS_prlimit64, {0, RLIMIT_CORE, 1ull << 32}), SECCOMP_RET_ERRNO | EPERM);
    EXPECT_EQ(answer(SYS_prlimit64, {0, RLIMIT_NOFILE, 0x1000}), SECCOMP_RET_ALLOW);
}
