// SPDX-License-Identifier: Apache-2.0
// A set of system calls as the program that the kernel runs. The launcher loads it after its own ceiling filter and takes
// no return from it but ALLOW, LOG, KILL_PROCESS and ERRNO with a plain errno.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/core/sandbox.hpp"
#include "sdk/base/result.hpp"

namespace recap::plan {

using Filter = std::vector<std::uint64_t>;  // struct sock_filter as 8 bytes each

// x86_64 alone: another architecture's call (int 0x80 too) ends the process, as does an x32 number. Inside a set, clone()
// makes no namespaces and ioctl() neither pushes input into a terminal nor pastes (TIOCSTI, TIOCLINUX), compared as the
// kernel does, on 32 bits. clone3 and calls newer than this library answer ENOSYS, so that a libc falls back to what can
// be checked. What a program is started and ended with (execve, execveat, exit, exit_group, rt_sigreturn) is always in.
Result<Filter> compileFilter(const std::set<std::string>& syscalls, OnViolation onViolation);

// Compiled once a set: a program takes a millisecond to make. On one thread.
class FilterCache {
public:
    Result<std::shared_ptr<const Filter>> get(const std::set<std::string>& syscalls, OnViolation onViolation);

private:
    static constexpr std::size_t kMost = 256;  // sets; then the cache starts anew
    std::unordered_map<std::string, std::shared_ptr<const Filter>> filters_;
};

}  // namespace recap::plan
