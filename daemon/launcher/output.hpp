// SPDX-License-Identifier: Apache-2.0
// A run's log, where the caller gave no descriptors: the launcher holds the pipes and writes frames into a memfd of the run's size
// cap. A frame: u8 stream (1 stdout, 2 stderr), u32 length (little-endian), the bytes. Binary-safe; order as read.
#pragma once

#include <cstdint>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

class OutputLog {
public:
    static Result<OutputLog> make(std::uint64_t maxBytes);

    int fd() const { return memory_.get(); }
    void append(std::uint8_t stream, const char* data, std::size_t size, std::uint64_t room = UINT64_MAX);  // of memory for it
    std::uint64_t bytes() const { return total_; }  // what the payload wrote, dropped ones included
    std::uint64_t kept() const { return kept_; }    // in memory, heads included
    bool truncated() const { return truncated_; }

private:
    UniqueFd memory_;
    std::uint64_t left_ = 0;   // bytes of output that are still kept
    std::uint64_t heads_ = 0;  // likewise of the records' heads
    std::uint64_t total_ = 0;
    std::uint64_t kept_ = 0;
    bool truncated_ = false;
};

}  // namespace recap::launcher
