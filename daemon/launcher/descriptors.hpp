// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <algorithm>
#include <vector>

namespace recap::launcher {

// In a child: closes all descriptors but 0 to 2 and these. What the supervisor holds for others, the ends of their pipes and sockets,
// would otherwise stay open for as long as the child lives.
inline void keepDescriptors(std::vector<int> kept) {
    std::ranges::sort(kept);
    unsigned from = 3;
    for (const int fd : kept) {
        if (fd < 3) continue;
        if (static_cast<unsigned>(fd) > from) ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
        from = std::max(from, static_cast<unsigned>(fd) + 1);
    }
    ::close_range(from, ~0u, 0);
}

}  // namespace recap::launcher
