// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/tar_index.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "sdk/image/names.hpp"

namespace recap::image {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxPax = 64 * 1024;

using Block = std::array<char, kBlock>;

Result<void> readAt(int fd, char* buffer, std::size_t size, std::uint64_t offset) {
    while (size > 0) {
        const auto got = ::pread(fd, buffer, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failErrno("read");
        if (got == 0) return fail(Errc::InvalidArgument, "tar: the archive ends in mid-member");
        buffer += got;
        size -= static_cast<std::size_t>(got);
        offset += static_cast<std::uint64_t>(got);
    }
    return {};
}

std::string_view field(const Block& block, std::size_t at, std::size_t size) {
    const std::string_view whole(block.data() + at, size);
    return whole.substr(0, std::min(whole.find('\0'), size));
}

template <class T>
std::optional<T> number(std::string_view text, int base) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

bool checksumFits(const Block& block) {
    constexpr std::size_t at = 148;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) sum += i >= at && i < at + 8 ? ' ' : static_cast<unsigned char>(block[i]);
    return number<std::uint64_t>(field(block, at, 8), 8) == sum;
}

struct Pax {
    std::optional<std::string> path;
    std::optional<std::uint64_t> size;
};

Result<void> takePax(Pax& pax, std::string_view text) {
    while (!text.empty()) {
        const auto space = text.find(' ');
        const auto length = number<std::size_t>(text.substr(0, std::min(space, text.size())), 10);
        if (space == text.npos || !length || *length > text.size() || *length < space + 3 || text[*length - 1] != '\n') {
            return fail(Errc::InvalidArgument, "tar: a pax record is malformed");
        }
        const auto record = text.substr(space + 1, *length - space - 2);
        text.remove_prefix(*length);
        const auto equals = record.find('=');
        const auto key = record.substr(0, std::min(equals, record.size()));
        const auto value = equals == record.npos ? std::string_view{} : record.substr(equals + 1);
        if (key == "path") pax.path = std::string(value);
        if (key == "size") {
            pax.size = number<std::uint64_t>(value, 10);
            if (!pax.size) return fail(Errc::InvalidArgument, "tar: a pax size is not a number");
        }
    }
    return {};
}

Result<IndexedMember> memberOf(const Block& block, const Pax& pax, const Limits& limits) {
    IndexedMember member;
    const auto prefix = field(block, 345, 155);
    std::string raw = pax.path.value_or((prefix.empty() ? "" : std::string(prefix) + "/") + std::string(field(block, 0, 100)));
    auto clean = cleanName(raw, limits);
    if (!clean) return forward(std::move(clean), "tar");
    member.path = std::move(*clean);
    const char type = block[156] == '\0' ? '0' : block[156];
    if (type != '0' && type != '5') return fail(Errc::InvalidArgument, "tar: entry " + shown(raw) + " is neither a file nor a folder");
    member.kind = type == '5' ? TarMember::Kind::Directory : TarMember::Kind::Regular;
    const auto mode = number<std::uint32_t>(field(block, 100, 8), 8);
    const auto size = pax.size ? pax.size : number<std::uint64_t>(field(block, 124, 12), 8);
    const auto mtime = number<std::int64_t>(field(block, 136, 12), 8);
    if (!mode || !size || !mtime) return fail(Errc::InvalidArgument, "tar: entry " + shown(raw) + " has a malformed header");
    member.mode = *mode & 0777;
    member.size = member.kind == TarMember::Kind::Regular ? *size : 0;
    member.mtime = *mtime;
    return member;
}

}  // namespace

Result<std::vector<IndexedMember>> indexTar(int fd, const Limits& limits) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return failErrno("tar: fstat");
    if (!S_ISREG(info.st_mode)) return fail(Errc::InvalidArgument, "tar: not a regular file");
    const auto end = static_cast<std::uint64_t>(info.st_size);
    std::vector<IndexedMember> members;
    Pax pax;
    for (std::uint64_t at = 0;;) {
        Block block{};
        if (auto read = readAt(fd, block.data(), kBlock, at); !read) return forward(std::move(read));
        at += kBlock;
        if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; })) return members;
        if (field(block, 257, 6) != "ustar" || !checksumFits(block)) return fail(Errc::InvalidArgument, "tar: a header is not ustar's");
        if (block[156] == 'x') {
            const auto size = number<std::uint64_t>(field(block, 124, 12), 8);
            if (!size || *size > kMaxPax)
                return fail(Errc::LimitExceeded, "tar: a pax header is over " + std::to_string(kMaxPax) + " bytes");
            std::string text(*size, '\0');
            if (auto read = readAt(fd, text.data(), text.size(), at); !read) return forward(std::move(read));
            if (auto taken = takePax(pax, text); !taken) return forward(std::move(taken));
            at += (*size + kBlock - 1) / kBlock * kBlock;
            continue;
        }
        auto member = memberOf(block, pax, limits);
        if (!member) return forward(std::move(member));
        pax = {};
        if (member->size > end - std::min(at, end))
            return fail(Errc::InvalidArgument, "tar: entry " + shown(member->path) + " is longer than the archive");
        if (members.size() == limits.entries)
            return fail(Errc::LimitExceeded, "tar: more than " + std::to_string(limits.entries) + " entries");
        member->offset = at;
        at += (member->size + kBlock - 1) / kBlock * kBlock;
        members.push_back(std::move(*member));
    }
}

Result<void> copyMember(int fd, const IndexedMember& member, int out) {
    std::vector<char> buffer(128 * 1024);
    for (std::uint64_t done = 0; done < member.size;) {
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), member.size - done));
        if (auto read = readAt(fd, buffer.data(), part, member.offset + done); !read) return read;
        if (auto put = writeAll(out, {buffer.data(), part}); !put) return put;
        done += part;
    }
    return {};
}

}  // namespace recap::image
