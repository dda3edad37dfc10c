// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/tar_writer.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace recap::image {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kMaxOctalSize = 077777777777;  // 8 GiB - 1
constexpr std::uint32_t kMaxOctalId = 07777777;

struct Header {  // POSIX.1-1988 ustar
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2];
    char userName[32], groupName[32], major[8], minor[8], prefix[155], pad[12];
};
static_assert(sizeof(Header) == kBlock);

template <std::size_t N>
void octal(char (&field)[N], std::uint64_t value) {
    for (std::size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
}

template <std::size_t N>
void text(char (&field)[N], std::string_view value) {
    std::memcpy(field, value.data(), std::min(N, value.size()));
}

// Where a name can be cut into prefix and name, or npos.
std::size_t cut(std::string_view path) {
    if (path.size() <= sizeof(Header::name)) return 0;
    const auto slash = path.find('/', path.size() - sizeof(Header::name) - 1);
    return slash == path.npos || slash == 0 || slash > sizeof(Header::prefix) ? path.npos : slash;
}

std::string block(const TarMember& member, std::string_view path, char type, std::uint64_t size) {
    Header header{};
    const auto slash = cut(path);
    if (slash == 0 || slash == path.npos) {
        text(header.name, path.substr(0, sizeof header.name));
    } else {
        text(header.prefix, path.substr(0, slash));
        text(header.name, path.substr(slash + 1));
    }
    octal(header.mode, member.mode & 07777);
    octal(header.uid, std::min(member.uid, kMaxOctalId));
    octal(header.gid, std::min(member.gid, kMaxOctalId));
    octal(header.size, std::min(size, kMaxOctalSize));
    octal(header.mtime, static_cast<std::uint64_t>(std::clamp<std::int64_t>(member.mtime, 0, static_cast<std::int64_t>(kMaxOctalSize))));
    std::memset(header.checksum, ' ', sizeof header.checksum);
    header.type = type;
    text(header.link, std::string_view(member.link).substr(0, sizeof header.link));
    text(header.magic, std::string_view("ustar\0", 6));
    text(header.version, "00");
    octal(header.major, 0);
    octal(header.minor, 0);
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    std::uint64_t sum = 0;
    for (const char c : bytes) sum += static_cast<unsigned char>(c);
    char field[7]{};
    octal(field, sum);
    std::memcpy(bytes.data() + offsetof(Header, checksum), field, sizeof field);
    return bytes;
}

// "LENGTH KEY=VALUE\n", where LENGTH counts itself.
std::string record(std::string_view key, std::string_view value) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t length = rest + 1;
    while (std::to_string(length).size() + rest != length) length = std::to_string(length).size() + rest;
    return std::to_string(length) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

std::string named(const TarMember& member) { return member.path + (member.kind == TarMember::Kind::Directory ? "/" : ""); }

std::string paxRecords(const TarMember& member) {
    std::string records;
    if (cut(named(member)) == std::string::npos) records += record("path", named(member));
    if (member.link.size() > sizeof(Header::link)) records += record("linkpath", member.link);
    if (member.size > kMaxOctalSize) records += record("size", std::to_string(member.size));
    if (member.uid > kMaxOctalId) records += record("uid", std::to_string(member.uid));
    if (member.gid > kMaxOctalId) records += record("gid", std::to_string(member.gid));
    return records;
}

std::uint64_t padded(std::uint64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }
std::uint64_t contentSize(const TarMember& member) { return member.kind == TarMember::Kind::Regular ? member.size : 0; }

}  // namespace

std::uint64_t TarWriter::cost(const TarMember& member) {
    const auto records = paxRecords(member).size();
    return (records ? kBlock + padded(records) : 0) + kBlock + padded(contentSize(member));
}

Result<void> TarWriter::begin(const TarMember& member) {
    const auto records = paxRecords(member);
    std::string bytes;
    if (!records.empty()) {
        TarMember extension;
        extension.mode = 0644;
        bytes = block(extension, "pax_headers", 'x', records.size()) + records;
        bytes.resize(kBlock + padded(records.size()));
    }
    const auto size = contentSize(member);
    bytes += block(member, named(member), static_cast<char>(member.kind), size);
    left_ = size;
    padding_ = padded(size) - size;
    return put(bytes);
}

Result<void> TarWriter::data(std::string_view bytes) {
    bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
    left_ -= bytes.size();
    return put(bytes);
}

Result<void> TarWriter::end() {
    auto filled = zeros(left_ + padding_);
    left_ = padding_ = 0;
    return filled;
}

Result<void> TarWriter::finish() { return zeros(2 * kBlock); }

Result<void> TarWriter::put(std::string_view bytes) {
    written_ += bytes.size();
    return bytes.empty() ? Result<void>{} : sink_(bytes);
}

Result<void> TarWriter::zeros(std::uint64_t count) {
    static constexpr std::array<char, 16 * kBlock> kZeros{};
    while (count > 0) {
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, kZeros.size()));
        if (auto done = put({kZeros.data(), part}); !done) return done;
        count -= part;
    }
    return {};
}

}  // namespace recap::image
