// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/log_reader.hpp"

#include <sys/stat.h>

#include <algorithm>

namespace recap {
namespace {

constexpr std::size_t kFrameHeader = 5;
constexpr std::uint64_t kMarkDistance = 64 * 1024;
constexpr std::size_t kWindow = 64 * 1024;

// The file through a window, so that small frames cost no system call each.
class Window {
public:
    Window(int fd, std::uint64_t size) : fd_(fd), size_(size) {}

    // Bytes at `offset`: at least `wanted` of them (at most a window), or what there is.
    Result<std::pair<const std::uint8_t*, std::size_t>> at(std::uint64_t offset, std::size_t wanted) {
        if (offset < start_ || offset + wanted > start_ + bytes_.size()) {
            bytes_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kWindow, size_ - std::min(offset, size_))));
            const ssize_t count = ::pread(fd_, bytes_.data(), bytes_.size(), static_cast<off_t>(offset));
            if (count < 0) return failErrno("read a run's log");
            bytes_.resize(static_cast<std::size_t>(count));
            start_ = offset;
        }
        const auto skip = static_cast<std::size_t>(offset - start_);
        return std::pair(static_cast<const std::uint8_t*>(bytes_.data()) + skip, bytes_.size() - skip);
    }

private:
    int fd_;
    std::uint64_t size_;
    std::uint64_t start_ = 0;
    std::vector<std::uint8_t> bytes_;
};

Result<void> copy(Window& window, std::uint64_t from, std::uint64_t length, std::vector<std::uint8_t>& into) {
    while (length > 0) {
        auto part = window.at(from, 1);
        if (!part) return forward(std::move(part));
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(part->second, length));
        if (count == 0) return fail(Errc::Io, "a run's log is shorter than it was");
        into.insert(into.end(), part->first, part->first + count);
        from += count;
        length -= count;
    }
    return {};
}

}  // namespace

const LogReader::Mark& LogReader::markBefore(std::size_t stream, std::uint64_t offset) const {
    const auto after = std::upper_bound(marks_.begin() + 1, marks_.end(), offset,
                                        [&](std::uint64_t value, const Mark& mark) { return value < mark.streams[stream]; });
    return *(after - 1);
}

Result<OutputChunk> LogReader::read(Stream stream, std::uint64_t offset, std::uint32_t max, bool complete) {
    struct stat status {};
    if (::fstat(log_.get(), &status) != 0) return failErrno("a run's log");
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const std::size_t wanted = stream == Stream::Stdout ? 0 : 1;
    Window window(log_.get(), size);
    Mark at = markBefore(wanted, offset);
    OutputChunk chunk;
    bool exhausted = false;
    while (chunk.data.size() < max) {
        auto header = window.at(at.file, kFrameHeader);
        if (!header) return forward(std::move(header));
        exhausted = header->second < kFrameHeader;
        if (exhausted) break;
        const std::uint8_t* bytes = header->first;
        const std::uint64_t length =
            std::uint64_t{bytes[1]} | std::uint64_t{bytes[2]} << 8 | std::uint64_t{bytes[3]} << 16 | std::uint64_t{bytes[4]} << 24;
        const std::size_t index = bytes[0] == static_cast<std::uint8_t>(Stream::Stdout) ? 0 : 1;
        const std::uint64_t begin = at.file + kFrameHeader;
        exhausted = begin + length > size;
        if (exhausted) break;
        const std::uint64_t position = offset + chunk.data.size();
        if (index == wanted && position < at.streams[wanted] + length) {
            const std::uint64_t skip = position - at.streams[wanted];
            const std::uint64_t count = std::min<std::uint64_t>(length - skip, max - chunk.data.size());
            if (auto copied = copy(window, begin + skip, count, chunk.data); !copied) return forward(std::move(copied));
            if (skip + count < length) return chunk;
        }
        at.streams[index] += length;
        at.file = begin + length;
        if (at.file >= marks_.back().file + kMarkDistance) marks_.push_back(at);
    }
    chunk.eof = complete && (exhausted || at.file >= size);
    return chunk;
}

}  // namespace recap
