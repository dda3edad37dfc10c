// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/stream.hpp"

#include <unistd.h>

#include <array>

namespace recap::image {

Result<std::size_t> FdSource::read(char* buffer, std::size_t size) {
    for (;;) {
        const auto got = ::read(fd_, buffer, size);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno != EINTR) return failErrno("read");
    }
}

Result<void> writeAll(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto put = ::write(fd, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return failErrno("write");
        bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

ByteSink fdSink(int fd) {
    return [fd](std::string_view bytes) { return writeAll(fd, bytes); };
}

Result<std::string> readAll(int fd, std::size_t limit) {
    FdSource source(fd);
    std::string text;
    std::array<char, 16 * 1024> buffer{};
    for (;;) {
        auto got = source.read(buffer.data(), buffer.size());
        if (!got) return forward(std::move(got));
        if (*got == 0) return text;
        if (text.size() + *got > limit) return fail(Errc::LimitExceeded, "longer than " + std::to_string(limit) + " bytes");
        text.append(buffer.data(), *got);
    }
}

}  // namespace recap::image
