// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/escaped.hpp"

namespace recap {

std::string escaped(std::string_view foreign) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : foreign) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f && c != '\\')
            text += c;
        else
            text += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
    return text;
}

}  // namespace recap
