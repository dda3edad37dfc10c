// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

namespace recap::manifest {
namespace {

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isLower(char c) { return c >= 'a' && c <= 'z'; }
bool isAlpha(char c) { return isLower(c) || (c >= 'A' && c <= 'Z'); }
bool isSpace(char c) { return c == ' ' || c == '\t'; }

bool only(std::string_view text, std::string_view extra) {
    return std::all_of(text.begin(), text.end(),
                       [&](char c) { return isAlpha(c) || isDigit(c) || extra.find(c) != std::string_view::npos; });
}

// The whole text as a decimal number without sign or leading zeros.
std::optional<std::uint64_t> decimal(std::string_view text) {
    if (text.empty() || (text.size() > 1 && text.front() == '0') || !std::all_of(text.begin(), text.end(), isDigit)) return std::nullopt;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

struct Unit {
    std::string_view name;
    double usec;
};
constexpr double kSecond = 1e6;
constexpr std::array kUnits{
    Unit{"us", 1},
    Unit{"usec", 1},
    Unit{"µs", 1},
    Unit{"μs", 1},
    Unit{"ms", 1e3},
    Unit{"msec", 1e3},
    Unit{"", kSecond},
    Unit{"s", kSecond},
    Unit{"sec", kSecond},
    Unit{"second", kSecond},
    Unit{"seconds", kSecond},
    Unit{"m", 60 * kSecond},
    Unit{"min", 60 * kSecond},
    Unit{"minute", 60 * kSecond},
    Unit{"minutes", 60 * kSecond},
    Unit{"h", 3600 * kSecond},
    Unit{"hr", 3600 * kSecond},
    Unit{"hour", 3600 * kSecond},
    Unit{"hours", 3600 * kSecond},
    Unit{"d", 86400 * kSecond},
    Unit{"day", 86400 * kSecond},
    Unit{"days", 86400 * kSecond},
    Unit{"w", 604800 * kSecond},
    Unit{"week", 604800 * kSecond},
    Unit{"weeks", 604800 * kSecond},
    Unit{"M", 2629800 * kSecond},
    Unit{"month", 2629800 * kSecond},
    Unit{"months", 2629800 * kSecond},
    Unit{"y", 31557600 * kSecond},
    Unit{"year", 31557600 * kSecond},
    Unit{"years", 31557600 * kSecond},
};

// Takes "1.5 h" from the front of `text`; nothing: it is none.
std::optional<double> takeSpan(std::string_view& text) {
    double number = 0;
    if (text.empty() || !isDigit(text.front())) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    while (!text.empty() && isSpace(text.front())) text.remove_prefix(1);
    std::size_t length = 0;
    while (length < text.size() && !isSpace(text[length]) && !isDigit(text[length])) ++length;
    const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == text.substr(0, length); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(length);
    while (!text.empty() && isSpace(text.front())) text.remove_prefix(1);
    return number * unit->usec;
}

// Compares dotted numbers: "0.10" is more than "0.9". Nothing: one of them is none.
std::optional<int> compareVersions(std::string_view a, std::string_view b) {
    while (!a.empty() || !b.empty()) {
        const auto next = [](std::string_view& text) -> std::optional<std::uint64_t> {
            if (text.empty()) return 0;
            const auto dot = text.find('.');
            const auto value = decimal(text.substr(0, dot));
            text = dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
            return value;
        };
        const auto left = next(a), right = next(b);
        if (!left || !right) return std::nullopt;
        if (*left != *right) return *left < *right ? -1 : 1;
    }
    return 0;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> result;
    while (!text.empty()) {
        const auto start = text.find_first_not_of(' ');
        if (start == std::string_view::npos) break;
        text.remove_prefix(start);
        result.push_back(text.substr(0, text.find(' ')));
        text.remove_prefix(result.back().size());
    }
    return result;
}

}  // namespace

Result<std::uint64_t> parseSize(std::string_view text) {
    const auto wrong = [&] {
        return fail(Errc::InvalidArgument, printable(text) + " is not a size: bytes, or a whole number with K, M, G or T, such as \"64M\"");
    };
    constexpr std::string_view suffixes = "KMGT";
    unsigned shift = 0;
    std::string_view digits = text;
    if (!text.empty())
        if (const auto index = suffixes.find(text.back()); index != std::string_view::npos) {
            shift = 10 * static_cast<unsigned>(index + 1);
            digits.remove_suffix(1);
        }
    const auto value = decimal(digits);
    if (!value) return wrong();
    if (*value == 0) return fail(Errc::InvalidArgument, "a size of 0 is not allowed");
    if (*value > (static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) >> shift)) return wrong();
    return *value << shift;
}

std::string formatSize(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> names{"bytes", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (unit + 1 < names.size() && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        ++unit;
    }
    return std::to_string(bytes) + " " + std::string(names[unit]);
}

Result<std::chrono::microseconds> parseDuration(std::string_view text) {
    const std::string_view whole = text;
    double total = 0;
    bool any = false;
    while (!text.empty()) {
        const auto span = takeSpan(text);
        if (!span) {
            any = false;
            break;
        }
        total += *span;
        any = true;
    }
    if (!any || total > 1e16)
        return fail(Errc::InvalidArgument,
                    printable(whole) + " is not a duration: numbers with us, ms, s, min, h, d or w, such as \"1h 30min\"");
    if (std::llround(total) == 0) return fail(Errc::InvalidArgument, "a duration of 0 is not allowed");
    return std::chrono::microseconds(std::llround(total));
}

std::string formatDuration(std::chrono::microseconds duration) {
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> units{
        {{"d", 86'400'000'000}, {"h", 3'600'000'000}, {"min", 60'000'000}, {"s", 1'000'000}, {"ms", 1'000}, {"us", 1}}};
    std::string result;
    std::int64_t left = duration.count();
    for (const auto& [name, usec] : units)
        if (left >= usec) {
            result += (result.empty() ? "" : " ") + std::to_string(left / usec) + std::string(name);
            left %= usec;
        }
    return result.empty() ? "0s" : result;
}

Result<User> parseUser(std::string_view text) {
    if (text == "target") return User{};
    if (text == "root") return User{User::Kind::Root, 0, 0};
    const auto colon = text.find(':');
    const auto id = [](std::string_view part) -> std::optional<std::uint32_t> {
        const auto value = decimal(part);
        if (!value || *value >= std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
        return static_cast<std::uint32_t>(*value);
    };
    if (colon != std::string_view::npos) {
        const auto uid = id(text.substr(0, colon)), gid = id(text.substr(colon + 1));
        if (uid && gid) return User{User::Kind::Ids, *uid, *gid};
    }
    return fail(Errc::InvalidArgument,
                printable(text) + " is not a user: \"target\", \"root\" or \"UID:GID\" in decimal numbers below 4294967295");
}

std::string formatUser(const User& user) {
    if (user.kind == User::Kind::Target) return "target";
    if (user.kind == User::Kind::Root) return "root";
    return std::to_string(user.uid) + ":" + std::to_string(user.gid);
}

Result<void> checkRequirement(std::string_view requirement, std::string_view recapVersion) {
    const auto part = words(requirement);
    if (part.size() != 3) return fail(Errc::InvalidArgument, printable(requirement) + " is not a requirement, such as \"recap >= 0.1\"");
    if (part[0] != "recap") return fail(Errc::NotSupported, printable(part[0]) + " can't be required; known: recap");
    const auto order = compareVersions(recapVersion, part[2]);
    if (!order) return fail(Errc::InvalidArgument, printable(part[2]) + " is not a version of numbers and dots");
    const bool known = part[1] == ">=" || part[1] == ">" || part[1] == "=" || part[1] == "==" || part[1] == "<" || part[1] == "<=";
    if (!known) return fail(Errc::InvalidArgument, printable(part[1]) + " is not one of >=, >, =, <, <=");
    const bool met = (*order == 0 && part[1].find('=') != std::string_view::npos) || (*order > 0 && part[1].front() == '>') ||
                     (*order < 0 && part[1].front() == '<');
    if (!met) return fail(Errc::NotSupported, "needs " + std::string(requirement) + ", this is recap " + std::string(recapVersion));
    return {};
}

bool hasControl(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }) ||
           text.find("\xc2\x85") != std::string_view::npos || text.find("\xe2\x80\xa8") != std::string_view::npos;
}

std::string printableKey(std::string_view text) {
    std::string result;
    for (const char c : text.substr(0, 64)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            constexpr std::string_view hex = "0123456789abcdef";
            result += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        } else {
            result += c;
        }
    }
    return text.size() > 64 ? result + "…" : result;
}

std::string printable(std::string_view text) { return "'" + printableKey(text) + "'"; }

std::string checkName(std::string_view text) {
    const bool right = !text.empty() && text.size() <= 63 && text.front() != '-' &&
                       std::all_of(text.begin(), text.end(), [](char c) { return isLower(c) || isDigit(c) || c == '-'; });
    return right ? "" : printable(text) + " is not a name: a-z, 0-9 and -, at most 63, not starting with -";
}

std::string checkCalendar(std::string_view text) {
    const bool right =
        !text.empty() && text.size() <= 200 && text.front() != ' ' && text.back() != ' ' &&
        std::all_of(text.begin(), text.end(), [](char c) {
            return isLower(c) || (c >= 'A' && c <= 'Z') || isDigit(c) || std::string_view(" *:/,.~+-_").find(c) != std::string_view::npos;
        });
    return right ? "" : printable(text) + " is no calendar: letters, digits, blanks and *:/,.~+-_ as in systemd.time(7), at most 200";
}

std::string checkNotEmpty(std::string_view text) { return text.empty() ? "an empty string is not allowed here" : ""; }

std::string checkRelativePath(std::string_view text) {
    if (text.empty() || text.size() > 4095) return "a path has 1 to 4095 characters";
    std::size_t start = text.front() == '/' ? 1 : 0;
    while (start < text.size()) {
        const auto part = text.substr(start, text.find('/', start) - start);
        if (part.empty() || part == "." || part == "..") return printable(text) + ": a path has no empty parts, '.' or '..'";
        if (part.size() > 255) return printable(text) + ": a part of a path has at most 255 characters";
        start += part.size() + 1;
    }
    return "";
}

std::string checkPath(std::string_view text) {
    if (text.empty() || text.front() != '/') return printable(text) + " is not an absolute path";
    if (text.size() > 1 && text.back() == '/') return printable(text) + ": a path does not end in '/'";
    return checkRelativePath(text);
}

std::string checkVersion(std::string_view text) {
    const bool right = !text.empty() && text.size() <= 64 && only(text, ".+~-_");
    return right ? "" : printable(text) + " is not a version: letters, digits and . + ~ - _, at most 64";
}

std::string checkReference(std::string_view text) {
    const auto at = text.find('@');
    const auto name = text.substr(0, at);
    bool right = !name.empty() && text.size() <= 255 && (isAlpha(name.front()) || isDigit(name.front())) && only(name, "._-/:") &&
                 name.find("..") == std::string_view::npos && name.find("//") == std::string_view::npos && name.back() != '/' &&
                 name.back() != ':';
    if (right && at != std::string_view::npos) {
        auto digest = text.substr(at + 1);
        right = digest.starts_with("sha256:") && digest.size() == 7 + 64 &&
                std::all_of(digest.begin() + 7, digest.end(), [](char c) { return isDigit(c) || (c >= 'a' && c <= 'f'); });
    }
    return right ? ""
                 : printable(text) +
                       " is not an image reference, such as \"recap/tcpdump:1.2.0\", with or without @sha256: and 64 hex digits";
}

std::string checkEnvName(std::string_view text) {
    if (text.empty() || isDigit(text.front()) || !only(text, "_") || text.size() > 128)
        return printable(text) + " is not a variable's name: letters, digits and _, not starting with a digit";
    if (text.starts_with("RECAP_")) return printable(text) + ": names that start with RECAP_ are set by recapd";
    return "";
}

std::string checkLabelKey(std::string_view text) {
    const bool right = !text.empty() && text.size() <= 317 && only(text, "._-/");
    return right ? "" : printable(text) + " is not a label's key: letters, digits and . _ - /";
}

std::string checkSyscall(std::string_view text) {
    const bool right = !text.empty() && text.size() <= 63 && isAlpha(text.front()) && only(text, "_");
    return right ? "" : printable(text) + " is not a system call's name (groups such as @basic-io go into 'groups')";
}

std::string checkSyscallGroup(std::string_view text) {
    const bool right = text.size() > 1 && text.size() <= 63 && text.front() == '@' && only(text.substr(1), "-");
    return right ? "" : printable(text) + " is not a group of system calls, such as \"@basic-io\" (single calls go into 'allow')";
}

std::string checkPackage(std::string_view text) {
    const auto equal = text.find('=');
    const auto package = text.substr(0, equal);
    const bool right = package.size() > 1 && (isLower(package.front()) || isDigit(package.front())) && only(package, "+.-:") &&
                       (equal == std::string_view::npos || (equal + 1 < text.size() && only(text.substr(equal + 1), "+.-:~")));
    return right ? "" : printable(text) + " is not a Debian package, \"name\" or \"name=version\"";
}

}  // namespace recap::manifest
