// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <string>

#include "daemon/core/policy.hpp"
#include "daemon/plan/syscalls.hpp"
#include "sdk/manifest/manifest.hpp"
#include "sdk/manifest/profile.hpp"

namespace recap::plan {

// A profile of policies/*.toml at work: fills in what a manifest leaves out, and takes away what it does not allow.
class ProfilePolicy final : public Policy {
public:
    // Fails where the profile names a group or a system call that is not known here.
    static Result<std::shared_ptr<const ProfilePolicy>> make(manifest::Profile profile, const SyscallTable& table);

    std::string_view name() const override { return profile_.name; }
    const manifest::Profile& profile() const { return profile_; }
    Result<Narrowed> narrow(SandboxSpec asked) const override;

    // What the manifest asks for, its gaps filled from this profile. Nothing is narrowed yet.
    Result<SandboxSpec> asked(const manifest::Manifest& manifest, const SyscallTable& table) const;

private:
    explicit ProfilePolicy(manifest::Profile profile) : profile_(std::move(profile)) {}

    manifest::Profile profile_;
    std::set<std::string> syscalls_;  // the default
    std::set<std::string> most_;      // the bound
};

}  // namespace recap::plan
