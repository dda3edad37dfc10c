// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "daemon/core/tenants.hpp"
#include "sdk/base/result.hpp"

namespace recap {

struct PluginSetting {
    std::string name;    // the table's: [plugins.NAME]; the backend's name, and its socket's
    std::string plugin;  // what serves it; NAME where not said
    // Whose targets are this backend's: patterns (fnmatch(3), '*' passes '/') of their cgroups' paths. Empty: anybody's.
    std::vector<std::string> cgroups{};
    // What its host reads of the same table: a host that read other values has to be another one.
    std::map<std::string, std::vector<std::string>> values{};
    // Runtimes beside the usual ones whose containers are processes of this kernel, so that a capsule can be beside them.
    std::vector<std::string> runtimes{};
    bool operator==(const PluginSetting&) const = default;
};

// Of runs that are under way at once, and that wait until they may be.
struct RunLimits {
    std::uint32_t runs = 256;
    std::uint32_t runsPerTarget = 16;
    std::uint32_t queue = 4096;
    bool operator==(const RunLimits&) const = default;
};

// recapd's own part of recapd.toml, read by loadSettings() of daemon/plan. A plugin's further settings are read by its host,
// from root-owned files only.
struct Settings {
    std::vector<PluginSetting> plugins{{"process", "process"}};
    std::vector<std::string> policies;           // profiles that narrow every run, after the manifest's own
    std::chrono::microseconds grace{5'000'000};  // from the first TERM to KILL
    RunLimits limits;
    Tenants tenants;
    std::vector<std::string> problems;  // what does not count, with the rest in force
};

// Where settings, policies and capsules are searched, weakest first.
struct Folders {
    std::string vendor = "/usr/lib/recap";
    std::string state = "/var/lib/recap/state";
    std::string runtime = "/run/recap";
    std::string config = "/etc/recap";
};

}  // namespace recap
