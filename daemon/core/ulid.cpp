// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/ulid.hpp"

#include <sys/random.h>

#include <string_view>

namespace recap {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t kLength = 26;

// 128 bits, 5 a digit; the first digit holds 3 of them.
std::string encode(const std::array<std::uint8_t, 16>& bytes) {
    std::string text;
    unsigned pending = 0;
    int bits = 2;
    for (const std::uint8_t byte : bytes) {
        pending = (pending << 8) | byte;
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            text += kDigits[(pending >> bits) & 31];
        }
        pending &= (1u << bits) - 1;
    }
    return text;
}

}  // namespace

std::string UlidSource::next(std::uint64_t milliseconds) {
    if (milliseconds > last_) {
        last_ = milliseconds;
        if (::getrandom(random_.data(), random_.size(), 0) != static_cast<ssize_t>(random_.size())) random_.fill(0);
        random_[0] &= 0x7f;  // room to count up
    } else {
        for (std::size_t i = random_.size(); i-- > 0 && ++random_[i] == 0;) {
        }
    }
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(last_ >> (8 * (5 - i)));
    for (std::size_t i = 0; i < random_.size(); ++i) bytes[6 + i] = random_[i];
    return encode(bytes);
}

bool isUlid(const std::string& text) {
    return text.size() == kLength && text.find_first_not_of(kDigits) == std::string::npos && text[0] <= '7';
}

}  // namespace recap
