// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace recap {

// Run ids: 48 bits of time, 80 random ones, 26 characters of Crockford's base 32. Each is greater than the one before, also
// within a millisecond and when the clock steps back.
class UlidSource {
public:
    std::string next(std::uint64_t milliseconds);

private:
    std::uint64_t last_ = 0;
    std::array<std::uint8_t, 10> random_{};
};

bool isUlid(const std::string& text);

}  // namespace recap
