// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace recapctl {

inline std::string upperCase(std::string_view text) {
    std::string upper(text);
    for (char& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return upper;
}

// The next id in order (Crockford's base 32), so that "older than that" begins with `id` itself; empty: `id` is no ULID, or
// the last one.
inline std::string successor(std::string_view id) {
    constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    std::string next = upperCase(id);
    if (next.size() != 26 || next.find_first_not_of(kDigits) != std::string::npos) return "";
    for (std::size_t i = next.size(); i-- > 0;) {
        const std::size_t digit = kDigits.find(next[i]);
        next[i] = kDigits[(digit + 1) % kDigits.size()];
        if (digit + 1 < kDigits.size()) return next;
    }
    return "";
}

}  // namespace recapctl
