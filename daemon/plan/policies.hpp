// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/capsules.hpp"
#include "daemon/core/settings.hpp"
#include "daemon/plan/profile_policy.hpp"
#include "daemon/plan/syscalls.hpp"

namespace recap::plan {

// The profiles of policies/*.toml, vendor < runtime < config. A file must be called as its profile. On the loop.
class PolicyFiles final : public PolicyStore {
public:
    PolicyFiles(const Folders& folders, const SyscallTable& table);

    std::vector<PolicyInfo> list() const override;
    Result<void> reload() override;

    // Errc::NotFound names the profiles that there are.
    Result<std::shared_ptr<const ProfilePolicy>> find(std::string_view name) const;
    // Another one whenever a reload changed anything.
    std::uint64_t generation() const { return generation_; }

private:
    struct Entry {
        PolicyInfo info;
        std::string text;
        std::shared_ptr<const ProfilePolicy> policy;  // null: never readable
    };
    Entry read(const std::string& name, const std::filesystem::path& path) const;

    std::vector<std::filesystem::path> folders_;
    const SyscallTable& table_;
    std::map<std::string, Entry, std::less<>> entries_;
    std::uint64_t generation_ = 0;
};

}  // namespace recap::plan
