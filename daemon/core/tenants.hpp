// SPDX-License-Identifier: Apache-2.0
// Tenants that share a host: whose a target is, and who may reach it. From root-owned recapd.toml alone: [[tenants.target]],
// [[tenants.caller]]. What a container says of itself, labels too, proves nothing. HotCloud '18: a capsule is shared among the
// containers "belonging to the same tenant".
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// Whose a target is: every field given must match.
struct TenantTarget {
    std::string tenant;
    std::string backend;                   // by which it is listed
    std::string cgroup;                    // this one and what is below it, of the target's first process
    std::optional<std::uint32_t> rootUid;  // the host's uid that is root in its user namespace
};

// Whose a caller is, by one of the two; neither: somebody whom this host does not have.
struct TenantCaller {
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
    std::vector<std::string> tenants;
};

class Tenants {
public:
    Tenants() = default;
    Tenants(std::vector<TenantTarget> targets, std::vector<TenantCaller> callers)
        : targets_(std::move(targets)), callers_(std::move(callers)) {}

    // Whether tenants are kept apart at all. Where they are, what is nobody's is root's alone.
    bool kept() const { return unknown_ || !targets_.empty() || !callers_.empty(); }
    // Before recapd.toml could be read: everything is root's alone.
    static Tenants unknown() {
        Tenants none;
        none.unknown_ = true;
        return none;
    }
    // Of the first that matches; empty: nobody's, or not known before the target is inspected.
    std::string of(const Target& target) const;
    // By a group only as the user database has it, asked at most once a minute for each: the loop waits for that answer.
    std::set<std::string> ofCaller(std::uint32_t uid) const;
    // Root reaches everything, and everybody what is nobody's where none are kept. `what`: "target docker:web", for the refusal.
    Result<void> check(std::uint32_t uid, const std::string& tenant, const std::string& what) const;

private:
    struct Known {
        std::vector<std::uint32_t> groups;
        std::chrono::steady_clock::time_point until;
    };
    const std::vector<std::uint32_t>& groupsOf(std::uint32_t uid) const;

    bool unknown_ = false;
    std::vector<TenantTarget> targets_;
    std::vector<TenantCaller> callers_;
    mutable std::map<std::uint32_t, Known> known_;
};

}  // namespace recap
