// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/seccomp.hpp"

#include <linux/filter.h>
#include <linux/sched.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "sdk/base/unique_fd.hpp"

namespace recap::plan {
namespace {

constexpr std::size_t kMaxInstructions = 4096;
constexpr int kLastNumber = 511;   // x86_64's own numbers end below; 512 and above were x32's
constexpr int kFirstShared = 424;  // since then every architecture numbers new calls alike, and only at the end
constexpr std::array kAlways{"execve", "execveat", "exit", "exit_group", "rt_sigreturn"};

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

std::uint32_t action(OnViolation onViolation) {
    switch (onViolation) {
        case OnViolation::Kill: return SCMP_ACT_KILL_PROCESS;
        case OnViolation::Log: return SCMP_ACT_LOG;
        case OnViolation::Errno: break;
    }
    return SCMP_ACT_ERRNO(EPERM);
}

class Builder {
public:
    explicit Builder(OnViolation onViolation) : context_(nullptr, &seccomp_release) {
        // What this process may do says nothing about what the launcher loads: don't probe.
        seccomp_api_set(3);
        context_.reset(seccomp_init(action(onViolation)));
    }

    Result<Filter> build(const std::set<std::string>& syscalls) {
        if (!context_) return fail(Errc::Internal, "libseccomp has no memory");
        set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
        for (const auto* name : kAlways) allow(name);
        for (const auto& name : syscalls) allow(name);
        refuseUnknown();
        if (error_ < 0) return fail(Errc::Internal, "compiling system calls: " + what_ + ": " + ::strerrordesc_np(-error_));
        return exported();
    }

private:
    void check(int status, const std::string& what) {
        if (status >= 0 || error_ < 0) return;
        error_ = status;
        what_ = what;
    }

    void set(scmp_filter_attr attribute, std::uint32_t value) { check(seccomp_attr_set(context_.get(), attribute, value), "attribute"); }

    void allow(const std::string& name) {
        const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str());
        if (number < 0 || name == "clone3") return;
        if (name == "clone") return allowClone(number);
        if (name == "ioctl") return allowIoctl(number);
        check(seccomp_rule_add_array(context_.get(), SCMP_ACT_ALLOW, number, 0, nullptr), name);
    }

    void allowClone(int number) {
        constexpr scmp_datum_t kNamespaces =
            CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
        check(seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, number, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaces, 0)), "clone");
    }

    // libseccomp can't say "not equal on 32 bits": allowed is every other value, as the subtrees of the binary tree of
    // values that hold none of the denied ones.
    void allowIoctl(int number) {
        constexpr std::array<std::uint32_t, 2> kDenied{TIOCSTI, TIOCLINUX};
        allowOthers(number, 0, 0, {kDenied.begin(), kDenied.end()});
    }

    void allowOthers(int number, std::uint32_t prefix, unsigned length, const std::vector<std::uint32_t>& denied) {
        if (denied.empty()) {
            const std::uint32_t mask = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
            check(seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, number, 1, SCMP_A1(SCMP_CMP_MASKED_EQ, mask, prefix)), "ioctl");
            return;
        }
        if (length == 32) return;
        const std::uint32_t bit = std::uint32_t{1} << (31 - length);
        for (const bool one : {false, true}) {
            std::vector<std::uint32_t> within;
            for (const auto value : denied)
                if (((value & bit) != 0) == one) within.push_back(value);
            allowOthers(number, one ? prefix | bit : prefix, length + 1, within);
        }
    }

    void refuseUnknown() {
        for (int number = kFirstShared; number <= kLastNumber; ++number) {
            char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
            const bool refused = name == nullptr || std::string_view(name) == "clone3";
            std::free(name);
            if (refused) check(seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(ENOSYS), number, 0, nullptr), std::to_string(number));
        }
    }

    Result<Filter> exported() {
        const UniqueFd memory(::memfd_create("recap-filter", MFD_CLOEXEC));
        if (!memory) return failErrno("memfd_create");
        if (const int status = seccomp_export_bpf(context_.get(), memory.get()); status < 0)
            return failErrno("exporting system calls", -status);
        struct stat file {};
        if (::fstat(memory.get(), &file) != 0) return failErrno("fstat");
        static_assert(sizeof(sock_filter) == sizeof(std::uint64_t));
        Filter filter(static_cast<std::size_t>(file.st_size) / sizeof(std::uint64_t));
        if (filter.empty() || filter.size() > kMaxInstructions)
            return fail(Errc::LimitExceeded, "the system calls need a program of " + std::to_string(filter.size()) +
                                                 " instructions; the kernel takes 1 to 4096");
        const std::size_t bytes = filter.size() * sizeof(std::uint64_t);
        if (::pread(memory.get(), filter.data(), bytes, 0) != static_cast<ssize_t>(bytes)) return failErrno("pread");
        return filter;
    }

    Context context_;
    int error_ = 0;
    std::string what_;
};

}  // namespace

Result<Filter> compileFilter(const std::set<std::string>& syscalls, OnViolation onViolation) {
    return Builder(onViolation).build(syscalls);
}

Result<std::shared_ptr<const Filter>> FilterCache::get(const std::set<std::string>& syscalls, OnViolation onViolation) {
    std::string key(1, static_cast<char>('0' + static_cast<int>(onViolation)));
    for (const auto& name : syscalls) key += ' ' + name;
    if (const auto found = filters_.find(key); found != filters_.end()) return found->second;
    auto filter = compileFilter(syscalls, onViolation);
    if (!filter) return forward(std::move(filter));
    if (filters_.size() >= kMost) filters_.clear();
    return filters_[key] = std::make_shared<const Filter>(std::move(*filter));
}

}  // namespace recap::plan
