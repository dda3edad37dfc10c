// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap::image {

inline constexpr std::size_t kDigestLength = 64;  // hex digits of a sha256

// Sums up a stream; hex() once, at its end.
class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    void update(std::string_view bytes);
    std::string hex();

private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string sha256(std::string_view bytes);
// Of what is left to read from fd, which must be `size` bytes; Errc::LimitExceeded when it is more.
Result<std::string> sha256OfFile(int fd, std::uint64_t size);

bool isHexDigest(std::string_view text);                 // 64 of 0-9a-f
Result<std::string> parseDigest(std::string_view text);  // "sha256:HEX" -> HEX
std::string digestBytes(std::string_view hex);           // HEX of isHexDigest() -> 32 bytes

}  // namespace recap::image
