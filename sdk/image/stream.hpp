// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap::image {

// Bytes in order; 0 at the end.
class ByteSource {
public:
    virtual ~ByteSource() = default;
    virtual Result<std::size_t> read(char* buffer, std::size_t size) = 0;
};

using ByteSink = std::function<Result<void>(std::string_view)>;

// A borrowed descriptor of a file, pipe or socket as a source, and as a sink.
class FdSource : public ByteSource {
public:
    explicit FdSource(int fd) : fd_(fd) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override;

private:
    int fd_;
};
ByteSink fdSink(int fd);
Result<void> writeAll(int fd, std::string_view bytes);

// A whole file, refused when it is longer than `limit`.
Result<std::string> readAll(int fd, std::size_t limit);

}  // namespace recap::image
