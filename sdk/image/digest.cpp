// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/digest.hpp"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "sdk/image/names.hpp"

namespace recap::image {

struct Sha256::State {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

// libcrypto fails at these calls only without memory or without its own tables: nothing that a caller could mend.
Sha256::Sha256() : state_(std::make_unique<State>()) {
    if (!state_->context || EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) != 1) std::abort();
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
    if (EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) != 1) std::abort();
}

std::string Sha256::hex() {
    std::array<unsigned char, 32> sum{};
    unsigned int length = 0;
    if (EVP_DigestFinal_ex(state_->context.get(), sum.data(), &length) != 1 || length != sum.size()) std::abort();
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const auto byte : sum) text += {digits[byte >> 4], digits[byte & 15]};
    return text;
}

std::string sha256(std::string_view bytes) {
    Sha256 sum;
    sum.update(bytes);
    return sum.hex();
}

Result<std::string> sha256OfFile(int fd, std::uint64_t size) {
    Sha256 sum;
    std::vector<char> buffer(128 * 1024);
    std::uint64_t total = 0;
    for (;;) {
        const auto got = ::read(fd, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failErrno("read");
        if (got == 0) break;
        total += static_cast<std::uint64_t>(got);
        if (total > size) return fail(Errc::LimitExceeded, "longer than the " + std::to_string(size) + " bytes it is said to have");
        sum.update({buffer.data(), static_cast<std::size_t>(got)});
    }
    if (total != size) {
        return fail(Errc::InvalidArgument, std::to_string(total) + " bytes, not the " + std::to_string(size) + " it is said to have");
    }
    return sum.hex();
}

bool isHexDigest(std::string_view text) { return text.size() == kDigestLength && text.find_first_not_of("0123456789abcdef") == text.npos; }

Result<std::string> parseDigest(std::string_view text) {
    constexpr std::string_view prefix = "sha256:";
    if (!text.starts_with(prefix) || !isHexDigest(text.substr(prefix.size()))) {
        return fail(Errc::InvalidArgument, "digest " + shown(text) + " is not sha256: and 64 hex digits");
    }
    return std::string(text.substr(prefix.size()));
}

std::string digestBytes(std::string_view hex) {
    const auto nibble = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>((nibble(hex[i]) << 4) | nibble(hex[i + 1]));
    return bytes;
}

}  // namespace recap::image
