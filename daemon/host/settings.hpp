// SPDX-License-Identifier: Apache-2.0
// A host's own settings: the table [plugins.NAME] of recapd.toml and its drop-ins, from root-owned files only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::host {

struct SettingsDirs {  // weakest first
    std::string vendor = "/usr/lib/recap";
    std::string runtime = "/run/recap";
    std::string config = "/etc/recap";
};

struct InstanceSettings {
    std::string plugin;                                       // what serves it: the table's `plugin`, else the instance's name
    std::vector<std::pair<std::string, std::string>> values;  // as plugin.h's create() wants them
};

// A table that is not there is an empty one.
Result<InstanceSettings> readInstance(const SettingsDirs& dirs, const std::string& name);

}  // namespace recap::host
