// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace recap::image {

// What a stranger's archive may cost. Every reader of foreign bytes takes one; the defaults are recap-unpack's.
struct Limits {
    std::uint64_t bytes = 4ull << 30;         // of file contents, all layers together
    std::uint64_t archiveBytes = 6ull << 30;  // of an archive's or a layer's stream, after decompression
    std::uint32_t entries = 200'000;          // of all layers together
    std::size_t path = 2048;                  // bytes of a name
    std::size_t component = 255;              // bytes of one part of it, as the kernel has it
    std::size_t depth = 64;                   // parts of a name
    std::size_t document = 4u << 20;          // bytes of one JSON document
    std::size_t layers = 127;
};

// answer.json of recap-unpack, which recapd reads whole.
inline constexpr std::size_t kMaxAnswer = 16u << 20;

}  // namespace recap::image
