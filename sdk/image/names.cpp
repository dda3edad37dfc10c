// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/names.hpp"

#include <array>
#include <vector>

namespace recap::image {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

tl::unexpected<Error> refuse(std::string_view name, std::string_view why) {
    return fail(Errc::InvalidArgument, "entry " + shown(name) + ": " + std::string(why));
}

}  // namespace

std::string shown(std::string_view name) {
    constexpr std::size_t kShownBytes = 160;
    constexpr std::string_view hex = "0123456789abcdef";
    std::string text = "'";
    for (const char c : name.substr(0, kShownBytes)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f && c != '\'' && c != '\\') {
            text += c;
        } else {
            text += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        }
    }
    return text + (name.size() > kShownBytes ? "…'" : "'");
}

Result<std::string> cleanName(std::string_view raw, const Limits& limits) {
    if (raw.empty()) return refuse(raw, "the name is empty");
    if (raw.find('\0') != raw.npos) return refuse(raw, "the name holds a NUL");
    if (raw.front() == '/') return refuse(raw, "the name is absolute; names in a layer are relative to its root");
    if (raw.size() > limits.path) return refuse(raw, "the name is longer than " + std::to_string(limits.path) + " bytes");
    std::string clean;
    std::size_t depth = 0;
    while (!raw.empty()) {
        const auto end = std::min(raw.find('/'), raw.size());
        const auto part = raw.substr(0, end);
        raw.remove_prefix(std::min(end + 1, raw.size()));
        if (part.empty() || part == ".") continue;
        if (part == "..") return refuse(clean + "/..", "the name climbs with '..'");
        if (part.size() > limits.component)
            return refuse(part, "a part of the name is longer than " + std::to_string(limits.component) + " bytes");
        if (++depth > limits.depth) return refuse(clean, "the name is deeper than " + std::to_string(limits.depth) + " folders");
        if (!clean.empty()) clean += '/';
        clean += part;
    }
    return clean;
}

std::pair<std::string_view, std::string_view> splitPath(std::string_view path) {
    const auto slash = path.rfind('/');
    if (slash == path.npos) return {{}, path};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<Whiteout> whiteoutOf(std::string_view path) {
    const auto [parent, base] = splitPath(path);
    if (parent.starts_with(kWhiteout) || parent.find("/.wh.") != parent.npos) return refuse(path, "the entry lies below a whiteout");
    if (base == kOpaque) return Whiteout{Whiteout::Kind::Opaque, std::string(parent)};
    if (!base.starts_with(kWhiteout)) return Whiteout{};
    const auto hidden = base.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..")
        return refuse(path, "a whiteout of " + shown(hidden) + " hides nothing that may be hidden");
    if (hidden.starts_with(kWhiteout)) return refuse(path, "a record of aufs, not a whiteout");
    return Whiteout{Whiteout::Kind::Name, std::string(parent) + (parent.empty() ? "" : "/") + std::string(hidden)};
}

}  // namespace recap::image
