// SPDX-License-Identifier: Apache-2.0
// A run's log as the launcher frames it (u8 stream, u32 length little-endian, bytes), read by stream. The file may grow
// while it is read; a frame counts once it is there whole.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "daemon/core/runs.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

class LogReader {
public:
    explicit LogReader(UniqueFd log) : log_(std::move(log)) {}

    // `complete`: nothing will be added, so that the last byte is the end.
    Result<OutputChunk> read(Stream stream, std::uint64_t offset, std::uint32_t max, bool complete);
    int fd() const { return log_.get(); }

private:
    struct Mark {
        std::uint64_t file = 0;                  // where a frame begins
        std::array<std::uint64_t, 2> streams{};  // how much of each stream lies before it
    };
    const Mark& markBefore(std::size_t stream, std::uint64_t offset) const;

    UniqueFd log_;
    std::vector<Mark> marks_{Mark{}};  // every kMarkDistance of the file, as far as it has been read
};

}  // namespace recap
