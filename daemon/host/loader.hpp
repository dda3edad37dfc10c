// SPDX-License-Identifier: Apache-2.0
// Loads one plugin from one root-owned folder. A plugin is never unloaded: its process ends instead.
#pragma once

#include <recap/plugin.h>

#include <filesystem>
#include <string>

#include "sdk/base/result.hpp"

namespace recap::host {

struct LoadedPlugin {
    const recap_plugin_entry* entry = nullptr;
    const recap_backend_factory* backends = nullptr;
};

// Whose files are trusted: root's. Tests without root give their own uid.
struct LoadRules {
    uid_t owner = 0;
};

// folder/name.so; refused where folder or file are not the owner's alone to write.
Result<LoadedPlugin> loadPlugin(const std::filesystem::path& folder, const std::string& name, LoadRules rules = {});

// The part of it that judges a table; nothing of the plugin is called before its sizes and version are known to fit.
Result<LoadedPlugin> checkEntry(const recap_plugin_entry* entry, const std::string& name);
Result<void> checkBackend(const recap_backend* backend);

}  // namespace recap::host
