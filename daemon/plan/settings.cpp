// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/settings.hpp"

#include <grp.h>
#include <pwd.h>

#include <array>
#include <charconv>

#include "sdk/manifest/settings.hpp"

namespace recap::plan {
namespace {

std::optional<std::uint32_t> numberIn(const std::string& text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::optional<std::uint32_t> uidOf(const std::string& user) {
    std::array<char, 16384> buffer{};
    passwd entry{}, *found = nullptr;
    if (::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return entry.pw_uid;
    return numberIn(user);
}

std::optional<std::uint32_t> gidOf(const std::string& name) {
    std::vector<char> buffer(1 << 20);  // a group's members stand in it, too
    group entry{}, *found = nullptr;
    if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return entry.gr_gid;
    return numberIn(name);
}

Tenants tenantsOf(const manifest::SettingsFile& file, std::vector<std::string>& problems) {
    std::vector<TenantTarget> targets;
    for (const auto& [tenant, backend, cgroup, rootUid] : file.tenantTargets) targets.push_back({tenant, backend, cgroup, rootUid});
    std::vector<TenantCaller> callers;
    for (const auto& caller : file.tenantCallers) {
        const bool byGroup = !caller.group.empty();
        const auto id = byGroup ? gidOf(caller.group) : uidOf(caller.user);
        if (!id)  // nobody is this one; that tenants are kept apart holds all the same
            problems.push_back("tenants.caller: this host has no " + (byGroup ? "group '" + caller.group : "user '" + caller.user) +
                               "', who would be of a tenant");
        if (byGroup)
            callers.push_back({{}, id, caller.tenants});
        else
            callers.push_back({id, {}, caller.tenants});
    }
    return Tenants(std::move(targets), std::move(callers));
}

}  // namespace

Result<Settings> loadSettings(const Folders& folders) {
    auto read = manifest::loadSettings({folders.vendor, folders.runtime, folders.config});
    if (!read) return fail(Errc::InvalidArgument, manifest::join(read.diagnostics));
    Settings settings;
    if (!read.value->plugins.empty()) settings.plugins.clear();
    for (const auto& [name, table] : read.value->plugins)
        if (table.enabled) settings.plugins.push_back({name, table.plugin, table.cgroups, table.values, table.runtimes});
    settings.policies = read.value->policies;
    settings.tenants = tenantsOf(*read.value, settings.problems);
    settings.limits.runs = read.value->runs.value_or(settings.limits.runs);
    settings.limits.runsPerTarget = read.value->runsPerTarget.value_or(settings.limits.runsPerTarget);
    settings.limits.queue = read.value->queue.value_or(settings.limits.queue);
    settings.grace = read.value->grace.value_or(settings.grace);
    return settings;
}

}  // namespace recap::plan
