// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/text.hpp"

#include <cstdint>

namespace recap::bus {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::size_t kBrief = 512;

std::string& hidden() {
    static std::string folder;
    return folder;
}

bool isNoncharacter(std::uint32_t point) { return (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) == 0xfffe; }

struct Character {
    std::size_t bytes = 1;
    bool taken = false;  // by sd-bus
};

// At the front of a text that is not empty.
Character first(std::string_view text) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return {1, lead != 0};
    const std::size_t length = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (length == 0) return {};
    std::uint32_t point = lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0u) != 0x80) return {};
        point = point << 6 | (byte(i) & 0x3fu);
    }
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return {};
    return {length, !isNoncharacter(point)};
}

}  // namespace

std::string busText(std::string_view text) {
    std::string taken;
    std::size_t from = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto character = first(text.substr(at, 4));
        if (!character.taken) {
            taken.append(text.substr(from, at - from)).append(kReplacement);
            from = at + character.bytes;
        }
        at += character.bytes;
    }
    return taken.append(text.substr(from));
}

std::vector<std::string> busText(const std::vector<std::string>& texts) {
    std::vector<std::string> taken;
    taken.reserve(texts.size());
    for (const auto& text : texts) taken.push_back(busText(text));
    return taken;
}

std::map<std::string, std::string> busText(const std::map<std::string, std::string>& texts) {
    std::map<std::string, std::string> taken;
    for (const auto& [key, text] : texts) taken.emplace(busText(key), busText(text));
    return taken;
}

std::string briefText(std::string_view text) {
    std::string taken = busText(text.substr(0, kBrief + 4));
    if (taken.size() <= kBrief) return taken;
    std::size_t end = kBrief - 3;
    while ((static_cast<unsigned char>(taken[end]) & 0xc0u) == 0x80) --end;
    return taken.substr(0, end) + "\u2026";
}

std::string busSentence(std::string_view text) {
    std::string sentence = busText(text);
    if (hidden().empty()) return sentence;
    for (std::size_t at = 0; (at = sentence.find(hidden(), at)) != sentence.npos;) sentence.erase(at, hidden().size());
    return sentence;
}

void hideFolder(std::string path) {
    if (!path.empty() && path.back() != '/') path += '/';
    hidden() = path == "/" ? std::string() : std::move(path);
}

}  // namespace recap::bus
