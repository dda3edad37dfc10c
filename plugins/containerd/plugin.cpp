// SPDX-License-Identifier: Apache-2.0
// The containerd backend: containers of containerd's, by its own gRPC API. See README.md for what it tells.
#include "plugins/containerd/backend.hpp"

namespace {

class ContainerdBackend : public recap::containerd::Backend {
public:
    explicit ContainerdBackend(recap::plugin::Settings& settings) : Backend(recap::containerd::readOptions(settings)) {}
};

}  // namespace

RECAP_BACKEND_PLUGIN(ContainerdBackend, "containerd", RECAP_VERSION);
