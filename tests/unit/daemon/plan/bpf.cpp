// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/daemon/plan/bpf.hpp"

#include <linux/filter.h>

#include <cstring>

namespace recap::test {
namespace {

sock_filter at(const std::vector<std::uint64_t>& filter, std::size_t index) {
    sock_filter instruction;
    std::memcpy(&instruction, &filter[index], sizeof instruction);
    return instruction;
}

}  // namespace

std::optional<std::uint32_t> runFilter(const std::vector<std::uint64_t>& filter, const seccomp_data& call) {
    std::uint32_t accumulator = 0;
    for (std::size_t pc = 0; pc < filter.size(); ++pc) {
        const sock_filter i = at(filter, pc);
        const auto jump = [&](bool taken) { pc += taken ? i.jt : i.jf; };
        switch (i.code) {
            case BPF_LD | BPF_W | BPF_ABS:
                if (i.k % 4 != 0 || i.k + 4 > sizeof call) return std::nullopt;
                std::memcpy(&accumulator, reinterpret_cast<const char*>(&call) + i.k, 4);
                break;
            case BPF_ALU | BPF_AND | BPF_K: accumulator &= i.k; break;
            case BPF_JMP | BPF_JA: pc += i.k; break;
            case BPF_JMP | BPF_JEQ | BPF_K: jump(accumulator == i.k); break;
            case BPF_JMP | BPF_JGT | BPF_K: jump(accumulator > i.k); break;
            case BPF_JMP | BPF_JGE | BPF_K: jump(accumulator >= i.k); break;
            case BPF_JMP | BPF_JSET | BPF_K: jump(accumulator & i.k); break;
            case BPF_RET | BPF_K: return i.k;
            default: return std::nullopt;
        }
    }
    return std::nullopt;
}

std::optional<std::set<std::uint32_t>> returnsOf(const std::vector<std::uint64_t>& filter) {
    std::set<std::uint32_t> result;
    for (std::size_t index = 0; index < filter.size(); ++index) {
        const sock_filter i = at(filter, index);
        if (BPF_CLASS(i.code) != BPF_RET) continue;
        if (BPF_RVAL(i.code) != BPF_K) return std::nullopt;
        result.insert(i.k);
    }
    return result;
}

}  // namespace recap::test
