// SPDX-License-Identifier: Apache-2.0
// What the kernel would answer: classic BPF over struct seccomp_data, interpreted. Knows the instructions that filters
// are made of and fails on any other, on a jump past the end, and on a load that is out of place.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace recap::test {

std::optional<std::uint32_t> runFilter(const std::vector<std::uint64_t>& filter, const seccomp_data& call);

// The constants of all its returns; nothing where one returns the accumulator.
std::optional<std::set<std::uint32_t>> returnsOf(const std::vector<std::uint64_t>& filter);

}  // namespace recap::test
