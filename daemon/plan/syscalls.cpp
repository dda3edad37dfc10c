// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/syscalls.hpp"

#include <seccomp.h>

#include <algorithm>
#include <array>
#include <sstream>

namespace recap::plan {
namespace {

struct Group {
    const char* name;
    const char* members;  // separated by spaces; groups among them
};
constexpr Group kGroups[] = {
#include "syscall_groups.inc"
};

// Beside @default: what ld.so and libc call before main().
constexpr std::array kLaunch{"access", "close", "execve",     "execveat", "exit",    "exit_group", "faccessat", "fstat",
                             "lseek",  "mmap",  "newfstatat", "openat",   "pread64", "read",       "readlink",  "rt_sigreturn"};

// As seen from libseccomp: here, elsewhere (a pseudo number), nowhere.
enum class Home { Here, Elsewhere, Nowhere };
Home home(const std::string& name) {
    const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str());
    return number >= 0 ? Home::Here : number == __NR_SCMP_ERROR ? Home::Nowhere : Home::Elsewhere;
}

void collect(std::string_view group, std::set<std::string>& into) {
    const auto found = std::find_if(std::begin(kGroups), std::end(kGroups), [&](const Group& g) { return group == g.name; });
    if (found == std::end(kGroups)) return;
    std::istringstream members(found->members);
    for (std::string member; members >> member;) {
        if (member.front() == '@')
            collect(member, into);
        else if (home(member) == Home::Here)
            into.insert(member);
    }
}

}  // namespace

std::optional<int> syscallNumber(const std::string& name) {
    const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str());
    return number >= 0 ? std::optional(number) : std::nullopt;
}

SyscallTable::SyscallTable() {
    for (const auto& group : kGroups) collect(group.name, groups_[group.name]);
    launch_ = groups_["@default"];
    launch_.insert(kLaunch.begin(), kLaunch.end());
}

std::vector<std::string> SyscallTable::groups() const {
    std::vector<std::string> result;
    for (const auto& [name, members] : groups_) result.push_back(name);
    return result;
}

Result<void> SyscallTable::add(const std::vector<std::string>& names, std::set<std::string>& into) const {
    for (const auto& name : names) {
        if (name.starts_with('@')) {
            const auto group = groups_.find(name);
            if (group == groups_.end())
                return fail(Errc::InvalidArgument,
                            "no group of system calls is called '" + name + "' here; 'systemd-analyze syscall-filter' lists them");
            into.insert(group->second.begin(), group->second.end());
        } else if (const auto where = home(name); where == Home::Nowhere) {
            return fail(Errc::InvalidArgument, "no system call is called '" + name + "' here");
        } else if (where == Home::Here) {
            into.insert(name);
        }
    }
    return {};
}

Result<std::set<std::string>> SyscallTable::expand(const manifest::Syscalls& asked, const std::set<std::string>& base) const {
    std::set<std::string> result = asked.groups.empty() ? base : launch_;
    std::set<std::string> denied;
    for (const auto* names : {&asked.groups, &asked.allow})
        if (auto added = add(*names, result); !added) return forward(std::move(added));
    if (auto added = add(asked.deny, denied); !added) return forward(std::move(added));
    for (const auto& name : denied) result.erase(name);
    return result;
}

}  // namespace recap::plan
