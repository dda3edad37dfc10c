// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/tenants.hpp"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>

namespace recap {
namespace {

bool isBelow(const std::string& path, const std::string& folder) {
    return path.starts_with(folder) && (path.size() == folder.size() || folder.ends_with('/') || path[folder.size()] == '/');
}

bool hasRoot(const std::vector<IdRange>& map, std::uint32_t uid) {
    return std::ranges::any_of(map, [uid](const IdRange& range) { return range.inside == 0 && range.count != 0 && range.outside == uid; });
}

bool matches(const TenantTarget& rule, const Target& target) {
    if (!rule.backend.empty() && rule.backend != target.id.backend) return false;
    if (rule.cgroup.empty() && !rule.rootUid) return true;
    if (!target.facts) return false;
    return (rule.cgroup.empty() || isBelow(target.facts->cgroup, rule.cgroup)) &&
           (!rule.rootUid || hasRoot(target.facts->uidMap, *rule.rootUid));
}

// As the user database has it: the groups of a process are its own affair. Empty: no such user.
std::vector<gid_t> groupsOf(std::uint32_t uid) {
    std::array<char, 16384> buffer{};
    passwd entry{}, *found = nullptr;
    if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
    std::vector<gid_t> groups(64);
    int count = static_cast<int>(groups.size());
    while (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0) {
        if (count > 65536) return {};  // NGROUPS_MAX, and the bound of this loop
        groups.resize(std::max<std::size_t>(groups.size() * 2, static_cast<std::size_t>(count)));
        count = static_cast<int>(groups.size());
    }
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

std::string list(const std::set<std::string>& tenants) {
    std::string all;
    for (const auto& tenant : tenants) all += (all.empty() ? "" : ", ") + tenant;
    return all;
}

}  // namespace

std::string Tenants::of(const Target& target) const {
    for (const auto& rule : targets_) {
        if (matches(rule, target)) return rule.tenant;
        // Whether an earlier one is right is not known yet, so that a later one does not count.
        const bool open = !target.facts && (rule.backend.empty() || rule.backend == target.id.backend);
        if (open) return "";
    }
    return "";
}

std::set<std::string> Tenants::ofCaller(std::uint32_t uid) const {
    std::set<std::string> all;
    const bool byGroup = std::ranges::any_of(callers_, [](const auto& caller) { return caller.gid.has_value(); });
    const auto groups = byGroup ? groupsOf(uid) : std::vector<gid_t>();
    for (const auto& caller : callers_) {
        if (caller.uid == uid || (caller.gid && std::ranges::find(groups, *caller.gid) != groups.end()))
            all.insert(caller.tenants.begin(), caller.tenants.end());
    }
    return all;
}

Result<void> Tenants::check(std::uint32_t uid, const std::string& tenant, const std::string& what) const {
    if (uid == 0 || (tenant.empty() && !kept())) return {};  // what was a tenant's stays so
    const auto own = ofCaller(uid);
    if (!tenant.empty() && own.contains(tenant)) return {};
    const std::string whose = tenant.empty() ? "is no tenant's, which leaves it to root" : "is tenant " + tenant + "'s";
    return fail(Errc::AccessDenied, what + " " + whose + ", and uid " + std::to_string(uid) + " is " +
                                        (own.empty() ? "of no tenant" : "of " + list(own)) +
                                        "; [[tenants.caller]] in recapd.toml says who is");
}

}  // namespace recap
