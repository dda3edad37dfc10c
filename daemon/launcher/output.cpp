// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/output.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

#include "daemon/launcher/weaken.hpp"

namespace recap::launcher {

Result<OutputLog> OutputLog::make(std::uint64_t maxBytes) {
    OutputLog log;
    log.memory_.reset(::memfd_create("recap-log", MFD_CLOEXEC));
    // Whoever is handed it to read could open it anew to write, by its mode.
    if (!log.memory_ || ::fchmod(log.memory_.get(), 0400) != 0) return failErrno("memfd_create");
    log.left_ = log.heads_ = weakened(Threat::Exhaustion) ? 16 * maxBytes : maxBytes;
    return log;
}

void OutputLog::append(std::uint8_t stream, const char* data, std::size_t size, std::uint64_t room) {
    total_ += size;
    // The heads have a budget of their own, as large: a payload that writes byte by byte would get six times its size.
    constexpr std::size_t kHead = 5;
    const std::uint64_t most = heads_ < kHead || room < kHead ? 0 : std::min(left_, room - kHead);
    const auto kept = static_cast<std::size_t>(std::min<std::uint64_t>(size, most));
    truncated_ = truncated_ || kept < size;
    if (kept == 0) return;
    std::array<unsigned char, kHead> head{stream};
    for (unsigned i = 0; i < 4; ++i) head[1 + i] = static_cast<unsigned char>(kept >> (8 * i));
    const iovec parts[] = {{head.data(), head.size()}, {const_cast<char*>(data), kept}};  // NOLINT: writev only reads
    if (::writev(memory_.get(), parts, 2) != static_cast<ssize_t>(head.size() + kept)) {
        truncated_ = true;
        return;
    }
    left_ -= kept;
    heads_ -= kHead;
    kept_ += kHead + kept;
}

}  // namespace recap::launcher
