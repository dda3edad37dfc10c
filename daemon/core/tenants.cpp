// SPDX-License-Identifier: Apache-2.0
#include "daemon/core/tenants.hpp"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>

namespace recap {
namespace {

constexpr std::chrono::seconds kKnown{60};

bool isBelow(const std::string& path, const std::string& folder) {
    return path.starts_with(folder) && (path.size() == folder.size() || folder.ends_with('/') || path[folder.size()] == '/');
}

bool hasRoot(const std::vector<IdRange>& map, std::uint32_t uid) {
    return std::ranges::any_of(map, [uid](const IdRange& range) { return range.inside == 0 && range.count != 0 && range.outside == uid; });
}

// Who is in a user namespace may make further ones of its ids, where none of them, or another one, is root: still the same container.
bool isWithin(const std::vector<IdRange>& map, std::uint64_t uid) {
    constexpr std::uint64_t kUsualRange = 65536;  // subuid(5), and what engines give a container
    return std::ranges::any_of(map, [uid](const IdRange& range) {
        const std::uint64_t first = range.outside, end = first + range.count;
        return range.count != 0 && first < uid + kUsualRange && uid < end;
    });
}

bool matches(const TenantTarget& rule, const Target& target) {
    if (!rule.backend.empty() && rule.backend != target.id.backend) return false;
    if (rule.cgroup.empty() && !rule.rootUid) return true;
    if (!target.facts) return false;
    return (rule.cgroup.empty() || isBelow(target.facts->cgroup, rule.cgroup)) &&
           (!rule.rootUid || hasRoot(target.facts->uidMap, *rule.rootUid));
}

// As the user database has it: the groups of a process are its own affair. Empty: no such user.
std::vector<gid_t> askGroups(std::uint32_t uid) {
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

// In a user namespace of its own whose map is not written yet.
bool isUnmapped(const TargetFacts& facts) {
    constexpr std::uint32_t kUser = 16;
    return (facts.hostNamespaces & kUser) == 0 && facts.uidMap.empty();
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
        const bool open = !target.facts || (rule.rootUid && (isUnmapped(*target.facts) || isWithin(target.facts->uidMap, *rule.rootUid)));
        if (open && (rule.backend.empty() || rule.backend == target.id.backend)) return "";
    }
    return "";
}

const std::vector<std::uint32_t>& Tenants::groupsOf(std::uint32_t uid) const {
    constexpr std::size_t kMostKnown = 256;
    const auto now = std::chrono::steady_clock::now();
    const auto found = known_.find(uid);
    if (found != known_.end() && now < found->second.until) return found->second.groups;
    if (known_.size() >= kMostKnown) known_.clear();
    auto groups = askGroups(uid);
    return (known_[uid] = {std::move(groups), std::chrono::steady_clock::now() + kKnown}).groups;
}

std::set<std::string> Tenants::ofCaller(std::uint32_t uid) const {
    std::set<std::string> all;
    const bool byGroup = std::ranges::any_of(callers_, [](const auto& caller) { return caller.gid.has_value(); });
    static const std::vector<std::uint32_t> none;
    const auto& groups = byGroup ? groupsOf(uid) : none;
    for (const auto& caller : callers_) {
        if (caller.uid == uid || (caller.gid && std::find(groups.begin(), groups.end(), *caller.gid) != groups.end()))
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
