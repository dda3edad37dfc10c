// SPDX-License-Identifier: Apache-2.0
// A plan's filter: programs for the kernel, of which the launcher promises what they can answer.
#include <linux/seccomp.h>

#include <cstring>

#include "daemon/launcher/seccomp.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

namespace {

std::string bytesOf(const std::vector<sock_filter>& filter) {
    return {reinterpret_cast<const char*>(filter.data()), filter.size() * sizeof(sock_filter)};
}

bool isAllowed(std::uint32_t answer) {
    switch (answer & SECCOMP_RET_ACTION_FULL) {
        case SECCOMP_RET_ALLOW:
        case SECCOMP_RET_LOG:
        case SECCOMP_RET_KILL_PROCESS: return true;
        case SECCOMP_RET_ERRNO: return (answer & SECCOMP_RET_DATA) >= 1 && (answer & SECCOMP_RET_DATA) <= 4095;
        default: return false;
    }
}

}  // namespace

std::vector<std::string> seeds() {
    const sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, refuse[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 1}};
    return {bytesOf(launcher::ceilingFilter()), bytesOf({allow[0]}), bytesOf({refuse[0]})};
}

void input(std::string_view bytes) {
    std::vector<std::uint64_t> wire(bytes.size() / sizeof(std::uint64_t));
    if (!wire.empty()) std::memcpy(wire.data(), bytes.data(), wire.size() * sizeof(std::uint64_t));
    const auto filter = launcher::readFilter(wire);
    if (!filter) return;
    promise(filter->size() == wire.size(), "nothing is left out of a filter");
    for (const sock_filter& instruction : *filter)
        if (BPF_CLASS(instruction.code) == BPF_RET)
            promise(BPF_RVAL(instruction.code) == BPF_K && isAllowed(instruction.k), "a filter answers only what it may");
}

}  // namespace recap::fuzz
