// SPDX-License-Identifier: Apache-2.0
// Whether an engine's socket is there, so that no host runs for an engine that is not installed. On the loop.
#pragma once

#include <functional>
#include <string>

#include "daemon/core/event.hpp"
#include "daemon/core/settings.hpp"

namespace recap::host {

class EngineSocket {
public:
    // The path of `endpoint = "unix://PATH"` in the plugin's own settings; without one an engine counts as there.
    explicit EngineSocket(const PluginSetting& setting);

    // Also where it cannot be told: the host will say what is wrong.
    bool isMissing() const;
    const std::string& path() const { return path_; }
    // Calls back, once, when something has come into the folder that the socket belongs into, or into the nearest one above it, or when
    // that folder has gone. False: it can't be watched, so that only looking again helps.
    bool watch(sd_event* loop, std::function<void()> changed);
    void forget() { watch_.reset(); }

private:
    std::string path_;
    std::function<void()> changed_;
    EventSource watch_;
};

}  // namespace recap::host
