// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/capabilities.hpp"

#include <algorithm>

namespace recap::manifest {

const std::vector<std::string_view>& capabilityNames() {
    static const std::vector<std::string_view> names{
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_LINUX_IMMUTABLE",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_SYS_MODULE",
        "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_SYS_TTY_CONFIG",
        "CAP_MKNOD",
        "CAP_LEASE",
        "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL",
        "CAP_SETFCAP",
        "CAP_MAC_OVERRIDE",
        "CAP_MAC_ADMIN",
        "CAP_SYSLOG",
        "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND",
        "CAP_AUDIT_READ",
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_CHECKPOINT_RESTORE",
    };
    return names;
}

std::optional<std::uint32_t> capabilityNumber(std::string_view name) {
    const auto& names = capabilityNames();
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return std::nullopt;
    return static_cast<std::uint32_t>(found - names.begin());
}

std::string capabilityName(std::uint32_t number) {
    return number < capabilityNames().size() ? std::string(capabilityNames()[number]) : "CAP_" + std::to_string(number);
}

std::vector<std::string> capabilityNames(std::uint64_t mask) {
    std::vector<std::string> result;
    for (std::uint32_t number = 0; number < 64; ++number)
        if (mask >> number & 1) result.push_back(capabilityName(number));
    return result;
}

}  // namespace recap::manifest
