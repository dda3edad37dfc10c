// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/refusal.hpp"

#include <sys/capability.h>

#include "daemon/launcher/procfs.hpp"
#include "daemon/launcher/protocol.hpp"

namespace recap::launcher {

tl::unexpected<Error> denied(std::string_view key, const std::string& what) {
    return fail(Errc::Denied, "ceiling: " + std::string(key) + ": " + what + "; " + std::string(key) +
                                  " in /etc/recap/ceiling.toml would have to allow it");
}

std::string namespaceNames(std::uint32_t mask) {
    std::string text;
    for (std::size_t i = 0; i < kNamespaces; ++i)
        if ((mask >> i & 1) != 0) text += (text.empty() ? "" : ", ") + std::string(kNamespaceNames[i]);
    return text;
}

std::string capabilityNames(std::uint64_t mask) {
    std::string text;
    for (cap_value_t value = 0; value < 64; ++value) {
        if ((mask >> value & 1) == 0) continue;
        char* name = ::cap_to_name(value);  // a number where it has no name
        text += (text.empty() ? "" : ", ") + std::string(name != nullptr ? name : "?");
        ::cap_free(name);
    }
    for (char& byte : text) byte = static_cast<char>(byte >= 'a' && byte <= 'z' ? byte - 'a' + 'A' : byte);
    return text;
}

}  // namespace recap::launcher
