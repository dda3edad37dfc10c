// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/settings.hpp"

#include "sdk/manifest/settings.hpp"

namespace recap::plan {

Result<Settings> loadSettings(const Folders& folders) {
    auto read = manifest::loadSettings({folders.vendor, folders.runtime, folders.config});
    if (!read) return fail(Errc::InvalidArgument, manifest::join(read.diagnostics));
    // A bound that nobody keeps would be believed in.
    if (!read.value->tenantsAt.empty())
        return fail(Errc::NotSupported, read.value->tenantsAt +
                                            ": this version does not keep tenants apart; take the table away, and let " +
                                            "polkit rules decide who runs what on which target");
    Settings settings;
    if (!read.value->plugins.empty()) settings.plugins.clear();
    for (const auto& [name, table] : read.value->plugins)
        if (table.enabled) settings.plugins.push_back({name, table.plugin, table.cgroups, table.values, table.runtimes});
    settings.policies = read.value->policies;
    settings.grace = read.value->grace.value_or(settings.grace);
    return settings;
}

}  // namespace recap::plan
