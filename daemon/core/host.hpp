// SPDX-License-Identifier: Apache-2.0
// Where a run has to do with namespaces that its target shares with the host: only as the ceiling's host-namespaces allows, and with
// the right to privileged runs.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "daemon/core/capsules.hpp"
#include "daemon/core/run.hpp"

namespace recap {

// Index = number of the bit.
inline constexpr std::array<std::string_view, 8> kNamespaceWords{"pid", "net", "ipc", "uts", "user", "cgroup", "time", "mnt"};

// What the launcher allows of the host's, and whether its kernel can keep a capsule there from the host's abstract sockets.
struct HostBounds {
    std::uint32_t namespaces = 0;  // bits
    bool scoped = false;
};

// Bits: those that the run would join, look into or show, and that are the host's.
inline std::uint32_t hostNamespaces(const SandboxSpec& sandbox, const Target& target) {
    constexpr std::uint32_t kPid = 1, kMnt = 128;
    std::uint32_t used = sandbox.namespaces;
    if (sandbox.processes != Processes::None) used |= kPid;
    if (sandbox.view != View::None) used |= kMnt;
    return target.facts ? target.facts->hostNamespaces & used : 0;
}

// The same of what a manifest asks, before any policy.
inline std::uint32_t hostNamespaces(const CapsuleInfo& capsule, const Target& target) {
    SandboxSpec asked;
    for (std::size_t bit = 0; bit < kNamespaceWords.size(); ++bit)
        if (std::ranges::find(capsule.namespaces, kNamespaceWords[bit]) != capsule.namespaces.end()) asked.namespaces |= 1u << bit;
    if (capsule.processes != "none") asked.processes = Processes::Observe;
    return hostNamespaces(asked, target);
}

}  // namespace recap
