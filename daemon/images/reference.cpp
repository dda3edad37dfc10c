// SPDX-License-Identifier: Apache-2.0
#include "daemon/images/reference.hpp"

#include <algorithm>

#include "sdk/image/digest.hpp"
#include "sdk/image/names.hpp"

namespace recap::images {
namespace {

constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxTag = 128;
constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kInComponents = "abcdefghijklmnopqrstuvwxyz0123456789._-";
constexpr std::string_view kDigits = "0123456789";

bool consistsOf(std::string_view text, std::string_view allowed) { return text.find_first_not_of(allowed) == text.npos; }

// Letters and digits with single '.', one or two '_' or any '-' between them.
bool isComponent(std::string_view text) {
    if (text.empty() || !consistsOf(text, kInComponents)) return false;
    const auto outer = [](char c) { return kLower.find(c) != kLower.npos; };
    return outer(text.front()) && outer(text.back()) && text.find("..") == text.npos && text.find("___") == text.npos;
}

bool isHost(std::string_view text) {
    const auto colon = text.find(':');
    const auto host = text.substr(0, std::min(colon, text.size()));
    if (colon != text.npos && (colon + 1 == text.size() || !consistsOf(text.substr(colon + 1), kDigits))) return false;
    return !host.empty() && host.front() != '-' && host.front() != '.' &&
           consistsOf(host, std::string(kLower) + std::string(kUpper) + ".-");
}

bool isName(std::string_view name) {
    for (bool first = true;; first = false) {
        const auto slash = name.find('/');
        const auto part = name.substr(0, std::min(slash, name.size()));
        if (!isComponent(part) && !(first && slash != name.npos && isHost(part))) return false;
        if (slash == name.npos) return true;
        name.remove_prefix(slash + 1);
    }
}

// Docker leaves out what it puts there by itself, and calls one image by its short name in one version, by its long one in the next:
// both are one name here.
std::string_view familiar(std::string_view name) {
    constexpr std::string_view hub = "docker.io/";
    constexpr std::string_view official = "library/";
    if (!name.starts_with(hub)) return name;
    while (name.starts_with(hub)) name.remove_prefix(hub.size());  // read again from a record it stays what it is
    if (name.starts_with(official) && name.find('/', official.size()) == name.npos) name.remove_prefix(official.size());
    return name;
}

bool isTag(std::string_view tag) {
    return !tag.empty() && tag.size() <= kMaxTag && tag.front() != '.' && tag.front() != '-' &&
           consistsOf(tag, std::string(kLower) + std::string(kUpper) + "_.-");
}

}  // namespace

Result<Reference> parseReference(std::string_view text) {
    const auto refuse = [&](std::string_view why) {
        return fail(Errc::InvalidArgument, "image reference " + image::shown(text) + ": " + std::string(why));
    };
    Reference reference;
    auto rest = text;
    if (const auto at = rest.find('@'); at != rest.npos) {
        auto digest = image::parseDigest(rest.substr(at + 1));
        if (!digest) return refuse("what follows '@' is not sha256: and 64 hex digits");
        reference.digest = std::move(*digest);
        rest = rest.substr(0, at);
    }
    const auto colon = rest.rfind(':');
    if (colon != rest.npos && rest.find('/', colon) == rest.npos) {
        reference.tag = rest.substr(colon + 1);
        rest = rest.substr(0, colon);
        if (!isTag(reference.tag)) return refuse("the tag has to be letters, digits, '_', '.' and '-', at most 128");
    }
    reference.name = familiar(rest);
    if (rest.size() > kMaxName || !isName(rest) || reference.name.empty())
        return refuse("the name has to be lower-case letters and digits, with '.', '_', '-' and '/' between them");
    return reference;
}

Result<Reference> parseName(std::string_view text) {
    auto reference = parseReference(text);
    if (reference && !reference->digest.empty())
        return fail(Errc::InvalidArgument, "image reference " + image::shown(text) + ": an image's name is NAME:TAG, without a digest");
    return reference;
}

}  // namespace recap::images
