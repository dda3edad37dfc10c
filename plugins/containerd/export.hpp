// SPDX-License-Identifier: Apache-2.0
// An image of containerd's as an archive: an OCI image layout in a tar, of this machine's platform only.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/containerd/client.hpp"

namespace recap::containerd {

// Writes the image that `reference` names, "REF" or "NAMESPACE/REF". Ambiguous: namespaces have different ones of that name, which
// are listed. Nothing is written before all of it is known to be there.
Result<void> exportImage(Client& client, const std::vector<std::string>& namespaces, std::string_view reference,
                         const std::function<Result<void>(std::string_view)>& sink);

// Puts bytes into `out`, a pipe or a file; Unavailable as soon as stopFd is readable, however long nobody reads.
std::function<Result<void>(std::string_view)> stoppableSink(int out, int stopFd);

}  // namespace recap::containerd
