// SPDX-License-Identifier: Apache-2.0
#include "tests/support/raw_tar.hpp"

#include <cstdio>
#include <cstring>

namespace recap::test {
namespace {

std::string padded(std::string bytes) {
    bytes.resize((bytes.size() + 511) / 512 * 512);
    return bytes;
}

std::string header(const std::string& name, char type, std::uint64_t size, const RawMember& member) {
    std::string block(512, '\0');
    const auto put = [&](std::size_t at, std::size_t width, const std::string& text) {
        std::memcpy(&block[at], text.data(), std::min(width, text.size()));
    };
    const auto octal = [&](std::size_t at, int digits, std::uint64_t value) {
        char text[24];
        std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
        put(at, static_cast<std::size_t>(digits), text);
    };
    put(0, 100, name);
    octal(100, 7, member.mode);
    octal(108, 7, member.uid);
    octal(116, 7, member.gid);
    octal(124, 11, size);
    octal(136, 11, 1700000000);
    block[156] = type;
    put(157, 100, member.link);
    put(257, 8, std::string("ustar\00000", 8));
    octal(329, 7, type == '3' || type == '4' ? 1 : 0);
    octal(337, 7, type == '3' || type == '4' ? 3 : 0);
    put(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    octal(148, 6, sum);
    block[154] = '\0';
    return block;
}

std::string paxRecords(const RawMember& member) {
    std::string all;
    for (const auto& [key, value] : member.pax) {
        const auto rest = key.size() + value.size() + 3;
        auto length = rest + 1;
        while (std::to_string(length).size() + rest != length) length = std::to_string(length).size() + rest;
        all += std::to_string(length) + " " + key + "=" + value + "\n";
    }
    return all;
}

}  // namespace

std::string rawTar(const std::vector<RawMember>& members, bool ended) {
    std::string tar;
    for (const auto& member : members) {
        if (const auto records = paxRecords(member); !records.empty()) tar += header("pax", 'x', records.size(), {}) + padded(records);
        const auto size = member.declaredSize == ~std::uint64_t{0} ? member.content.size() : member.declaredSize;
        tar += header(member.name, member.type, size, member) + padded(member.content);
    }
    if (ended) tar.append(1024, '\0');
    return tar;
}

}  // namespace recap::test
