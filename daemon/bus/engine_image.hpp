// SPDX-License-Identifier: Apache-2.0
// What ImportImageFrom's reference names: which backend's engine has the image, and what it is called there. Pure.
#pragma once

#include <string>
#include <vector>

#include "daemon/core/backend.hpp"
#include "sdk/base/result.hpp"

namespace recap::bus {

struct EngineImage {
    std::string scheme;              // as it was written, for messages
    std::string backend;             // whose engine has it
    std::string name;                // in that engine's words
    std::vector<std::string> names;  // that, and what else it may mean: without containerd's namespace, with podman's localhost/
};

// "docker-daemon:NAME" and "containerd:NAME" are images of a backend that the plugin docker or containerd serves: the one of the
// plugin's name, the only one, or `chosen`. "BACKEND:NAME" is that backend's.
Result<EngineImage> engineImage(const std::string& reference, const std::string& chosen, const std::vector<BackendStatus>& backends);

}  // namespace recap::bus
