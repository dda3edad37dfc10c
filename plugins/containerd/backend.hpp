// SPDX-License-Identifier: Apache-2.0
// The containerd backend: looks for the engine, follows it as long as it can, and looks for it again.
#pragma once

#include <recap/plugin.hpp>

#include <string_view>

#include "plugins/containerd/session.hpp"

namespace recap::containerd {

// Throws plugin::Error.
Options readOptions(plugin::Settings& settings);

class Backend {
public:
    explicit Backend(Options options) : options_(std::move(options)) {}

    // As plugin.hpp has them; they throw plugin::Error.
    void run(plugin::Sink& sink);
    void find(plugin::Sink& sink, std::string_view id);
    void exportImage(std::string_view reference, int out, int stopFd);

private:
    Options options_;
    Roster roster_;
};

}  // namespace recap::containerd
