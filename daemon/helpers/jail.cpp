// SPDX-License-Identifier: Apache-2.0
#include "daemon/helpers/jail.hpp"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace recap::helpers {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_RISCV64;
#else
#error "name this architecture as the kernel's audit does"
#endif

using Program = std::vector<sock_filter>;

void add(Program& program, int code, std::uint32_t value, std::uint8_t yes = 0, std::uint8_t no = 0) {
    program.push_back({static_cast<std::uint16_t>(code), yes, no, value});
}

void load(Program& program, std::size_t offset) { add(program, BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }

Program programFor(std::span<const AllowedCall> calls) {
    Program program;
    load(program, offsetof(seccomp_data, arch));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
    add(program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(seccomp_data, nr));
#ifdef __SANITIZE_ADDRESS__
    for (const auto number : {SYS_pipe2, SYS_sched_yield, SYS_sigaltstack}) {  // the sanitizers' own, in builds that are never installed
        add(program, BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1);
        add(program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
#endif
    for (const auto& call : calls) {
        if (call.mask == 0) {
            add(program, BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, 1);
        } else {
            add(program, BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, 5);
            load(program, offsetof(seccomp_data, args) + call.argument * sizeof(std::uint64_t));  // little-endian: the low half
            add(program, BPF_ALU | BPF_AND | BPF_K, call.mask);
            add(program, BPF_JMP | BPF_JEQ | BPF_K, call.value, 1, 0);
            add(program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
        }
        add(program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    add(program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    return program;
}

struct Capabilities {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
};

}  // namespace

const char* keepCapabilities(std::uint64_t keep) {
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        const bool kept = capability < 64 && (keep >> capability & 1) != 0;
        if (!kept && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return "bounding set";
    }
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return "ambient capabilities";
    Capabilities set;
    for (int half = 0; half < 2; ++half) {
        set.data[half].permitted = set.data[half].effective = static_cast<std::uint32_t>(keep >> (32 * half));
    }
    return ::syscall(SYS_capset, &set.header, set.data) == 0 ? nullptr : "capabilities";
}

bool hasNoCapabilities() {
    Capabilities set;
    if (::syscall(SYS_capget, &set.header, set.data) != 0) return false;
    std::uint32_t any = 0;
    for (const auto& half : set.data) any |= half.effective | half.permitted | half.inheritable;
    return any == 0;  // the ambient set is within permitted and inheritable
}

const char* limitResource(int resource, std::uint64_t value) {
    const rlimit limit{value, value};
    return ::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0 ? nullptr : "resource limits";
}

const char* allowOnly(std::span<const AllowedCall> calls) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "no_new_privs";
    auto program = programFor(calls);
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0 ? nullptr : "seccomp";
}

}  // namespace recap::helpers
