// SPDX-License-Identifier: Apache-2.0
// Writes tar: ustar, with a pax header only where a name or size does not fit. The same members give the same bytes. Needs
// nothing but memory, so that recap-collect can use it in its jail; what others send us is read by layer_reader.hpp (a
// layer, in recap-unpack) or tar_index.hpp (artifacts, in recapd).
#pragma once

#include <cstdint>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/image/stream.hpp"

namespace recap::image {

struct TarMember {
    enum class Kind : char { Regular = '0', HardLink = '1', Symlink = '2', Directory = '5' };
    std::string path;  // relative, without "./" and a trailing '/'
    Kind kind = Kind::Regular;
    std::uint32_t mode = 0644;  // permission bits
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::int64_t mtime = 0;  // seconds
    std::uint64_t size = 0;  // of a regular file
    std::string link;        // of a symbolic or hard link
};

class TarWriter {
public:
    explicit TarWriter(ByteSink sink) : sink_(std::move(sink)) {}

    // A member's content follows as data() up to its size: what is more is dropped, what is missing is filled with zeros,
    // so that a file which changes while it is read still leaves a valid archive.
    Result<void> begin(const TarMember& member);
    Result<void> data(std::string_view bytes);
    Result<void> end();
    Result<void> finish();  // after the last member

    std::uint64_t written() const { return written_; }
    static std::uint64_t cost(const TarMember& member);  // bytes that this member will take

private:
    Result<void> put(std::string_view bytes);
    Result<void> zeros(std::uint64_t count);

    ByteSink sink_;
    std::uint64_t left_ = 0;     // content of the current member still to come
    std::uint64_t padding_ = 0;  // after it
    std::uint64_t written_ = 0;
};

}  // namespace recap::image
