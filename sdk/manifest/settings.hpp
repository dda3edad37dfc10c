// SPDX-License-Identifier: Apache-2.0
// recapd.toml and its drop-ins. recapd reads all of it; a plugin's host takes its own table.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sdk/manifest/diagnostic.hpp"

namespace recap::manifest {

struct PluginTable {
    std::string name;    // [plugins.NAME]
    std::string plugin;  // what serves it; NAME where not said
    bool enabled = true;
    // Whose targets are this backend's: patterns (fnmatch(3), '*' passes '/') of whole cgroup paths. Empty: anybody's.
    std::vector<std::string> cgroups;
    // Further runtimes whose containers are processes of this kernel.
    std::vector<std::string> runtimes;
    // What the plugin is told: a list is its key several times, a nested table "outer.inner", numbers and booleans as text.
    std::map<std::string, std::vector<std::string>> values;
    std::vector<std::pair<std::string, std::string>> pairs() const;
};

// Which tenant a target belongs to: every field given must match.
struct TenantTarget {
    std::string tenant;
    std::string backend;
    std::string cgroup;                    // this one and what is below it
    std::optional<std::uint32_t> rootUid;  // the host's uid that is root in the target's user namespace
};

struct TenantCaller {  // one of user and group
    std::string user;
    std::string group;
    std::vector<std::string> tenants;
};

struct SettingsFile {
    std::map<std::string, PluginTable> plugins;
    std::vector<std::string> policies;               // profiles that narrow every run, after the manifest's own
    std::optional<std::chrono::microseconds> grace;  // from the first TERM to KILL
    // [limits]: under way at once, likewise on one target, and waiting.
    std::optional<std::uint32_t> runs;
    std::optional<std::uint32_t> runsPerTarget;
    std::optional<std::uint32_t> queue;
    std::vector<TenantTarget> tenantTargets;
    std::vector<TenantCaller> tenantCallers;
};

struct NamedText {
    std::string file;
    std::string text;
};

// In order: a later text's keys replace an earlier one's, lists of tenants are added to.
Read<SettingsFile> readSettings(const std::vector<NamedText>& texts);

// recapd.toml and recapd.toml.d/*.toml of the folders, weakest first; none at all is right as well.
Read<SettingsFile> loadSettings(const std::vector<std::filesystem::path>& folders);

}  // namespace recap::manifest
