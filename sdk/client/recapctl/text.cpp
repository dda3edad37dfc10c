// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/text.hpp"

#include <cmath>
#include <cstdio>
#include <ctime>

namespace recapctl {

namespace {

struct Character {
    std::uint32_t code = 0;
    std::size_t size = 0;  // 0: not UTF-8 here
};

Character decode(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = at(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t size = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 && lead < 0xe0 ? 2 : 0;
    if (size == 0 || text.size() < size) return {};
    std::uint32_t code = lead & (0x7fU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((at(i) & 0xc0) != 0x80) return {};
        code = code << 6 | (at(i) & 0x3fU);
    }
    constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < kSmallest[size] || code > 0x10ffff || surrogate ? Character{} : Character{code, size};
}

bool misleads(std::uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0xad || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xe0000 && code <= 0xe007f);
}

std::string format(const char* pattern, auto... values) {
    char buffer[64];
    const int size = std::snprintf(buffer, sizeof buffer, pattern, values...);
    return {buffer, static_cast<std::size_t>(size)};
}

// "1.5" for 1.5, "64" for 64.0.
std::string shortNumber(double number) {
    return std::abs(number - std::round(number)) < 0.05 ? format("%.0f", number) : format("%.1f", number);
}

struct Unit {
    std::string_view name;
    double microseconds;
};
constexpr Unit kUnits[] = {{"us", 1},   {"µs", 1},     {"ms", 1e3},   {"s", 1e6},    {"sec", 1e6},
                           {"m", 60e6}, {"min", 60e6}, {"h", 3600e6}, {"d", 86400e6}};

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const Character character = decode(text);
        const std::size_t size = character.size == 0 ? 1 : character.size;
        if (character.size == 0 || misleads(character.code)) {
            for (const char byte : text.substr(0, size)) out += format("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
        } else if (text[0] == '\\') {
            out += "\\\\";
        } else {
            out += text.substr(0, size);
        }
        text.remove_prefix(size);
    }
    return out;
}

bool isUtf8(std::string_view text) {
    while (!text.empty()) {
        const Character character = decode(text);
        if (character.size == 0) return false;
        text.remove_prefix(character.size);
    }
    return true;
}

std::size_t width(std::string_view escapedText) {
    std::size_t characters = 0;
    for (const char byte : escapedText) characters += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
    return characters;
}

std::string bytes(std::uint64_t count) {
    constexpr const char* kNames[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t step = 0;
    auto size = static_cast<double>(count);
    while (size >= 1024 && step + 1 < std::size(kNames)) {
        size /= 1024;
        ++step;
    }
    return shortNumber(size) + " " + kNames[step];
}

std::string milliseconds(std::uint64_t microseconds) { return format("%.2f", static_cast<double>(microseconds) / 1e3); }

std::string span(std::uint64_t microseconds) {
    const auto number = static_cast<double>(microseconds);
    if (number < 1e6) return shortNumber(number / 1e3) + " ms";
    if (number < 120e6) return shortNumber(number / 1e6) + " s";
    if (number < 7200e6) return shortNumber(number / 60e6) + " min";
    return shortNumber(number / 3600e6) + " h";
}

std::string localTime(std::uint64_t microseconds) {
    const auto seconds = static_cast<std::time_t>(microseconds / 1'000'000);
    std::tm parts{};
    char buffer[32];
    ::localtime_r(&seconds, &parts);
    const std::size_t size = std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &parts);
    return {buffer, size};
}

std::string base64(std::string_view data) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < data.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < data.size() ? static_cast<unsigned char>(data[i + k]) : 0U);
        for (std::size_t k = 0; k < 4; ++k) out += i + k > data.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
    }
    return out;
}

recap::Result<std::chrono::microseconds> parseDuration(std::string_view text) {
    const auto refuse = [whole = std::string(text)] {
        return recap::fail(recap::Errc::InvalidArgument,
                           "'" + escaped(whole) + "' is no duration: 30s, 1m30s, 250ms or a number of seconds");
    };
    double total = 0;
    if (text.empty()) return refuse();
    while (!text.empty()) {
        const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
        const std::string number(text.substr(0, digits));
        char* end = nullptr;
        const double count = std::strtod(number.c_str(), &end);
        if (digits == 0 || *end != '\0') return refuse();
        text.remove_prefix(digits);
        const std::size_t letters = std::min(text.find_first_of("0123456789."), text.size());
        const std::string_view name = text.substr(0, letters);
        const Unit* unit = nullptr;
        for (const auto& known : kUnits)
            if (known.name == (name.empty() ? "s" : name)) unit = &known;
        if (!unit) return refuse();
        total += count * unit->microseconds;
        text.remove_prefix(letters);
    }
    if (total < 1 || total > 86400e6 * 366) return refuse();
    return std::chrono::microseconds(static_cast<std::int64_t>(total));
}

recap::Result<std::uint64_t> parseMoment(const std::string& text, std::uint64_t now) {
    if (const auto ago = parseDuration(text)) return now - std::min(now, static_cast<std::uint64_t>(ago->count()));
    const bool utc = text.ends_with('Z');
    const std::string date = text.substr(0, text.size() - (utc ? 1 : 0));
    for (const char* form : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
        std::tm parts{};
        const char* end = ::strptime(date.c_str(), form, &parts);
        if (end == nullptr || *end != '\0') continue;
        parts.tm_isdst = -1;
        const std::tm asked = parts;
        const std::time_t seconds = utc ? ::timegm(&parts) : ::mktime(&parts);
        if (seconds < 0 || parts.tm_mday != asked.tm_mday || parts.tm_mon != asked.tm_mon) break;  // such as February 30
        return static_cast<std::uint64_t>(seconds) * 1'000'000;
    }
    return recap::fail(recap::Errc::InvalidArgument,
                       "'" + escaped(text) + "' is neither a duration (2h, 30m) nor a date (2026-01-31, \"2026-01-31 14:05\")");
}

}  // namespace recapctl
