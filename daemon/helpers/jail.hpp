// SPDX-License-Identifier: Apache-2.0
// What a helper takes from itself before it meets a stranger's bytes. Each step returns null, or its name with errno set;
// none can be undone. Single-threaded callers only.
#pragma once

#include <cstdint>
#include <span>

namespace recap::helpers {

// A system call that stays allowed. With a mask, only where (argument & mask) == value; argument by its low 32 bits.
struct AllowedCall {
    std::uint32_t number;
    unsigned argument = 0;
    std::uint32_t mask = 0;
    std::uint32_t value = 0;
};

// Bounding, ambient, inheritable, permitted and effective sets become `keep` or less (bit = capability's number).
const char* keepCapabilities(std::uint64_t keep);

// False where the process has any capability: permitted, effective, inheritable or ambient.
bool hasNoCapabilities();

const char* limitResource(int resource, std::uint64_t value);

// no_new_privs, then a filter that kills the process at every call that is not in the list.
const char* allowOnly(std::span<const AllowedCall> calls);

}  // namespace recap::helpers
