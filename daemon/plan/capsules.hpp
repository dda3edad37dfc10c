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
#include "daemon/plan/enablings.hpp"
#include "daemon/plan/policies.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::plan {

// The manifests of capsules/*.toml, vendor < state (what install() writes) < runtime < config. A file must be called as
// its capsule. On the loop.
class CapsuleFiles final : public CapsuleStore {
public:
    // `policies` outlives this; install() asks it whether a manifest could ever be run.
    CapsuleFiles(const Folders& folders, const PolicyFiles& policies, const SyscallTable& table);

    Result<const CapsuleInfo*> find(std::string_view name) const override;
    std::vector<const CapsuleInfo*> list() const override;
    Result<std::string> nameIn(std::string_view toml) const override;
    Result<CapsuleInfo> infoIn(std::string_view toml) const override;
    Result<std::string> install(std::string_view toml, bool replace) override;
    Result<void> remove(std::string_view name) override;
    Result<void> reload() override;
    Result<void> enable(std::string_view name, std::uint32_t uid) override;
    Result<void> restore(std::string_view name, const Enabling& enabling) override;
    Result<void> disable(std::string_view name) override;
    std::optional<Enabling> enablingOf(std::string_view name) const override { return enablings_.find(name); }
    void ranAsScheduled(std::string_view name) override;

    // Never null.
    Result<std::shared_ptr<const manifest::Manifest>> manifest(std::string_view name) const;

private:
    struct Entry {
        CapsuleInfo info;
        std::string text;
        std::shared_ptr<const manifest::Manifest> manifest;  // null: never readable
    };
    Result<const Entry*> usable(std::string_view name) const;
    Entry read(const std::string& name, const std::filesystem::path& path) const;
    void keepOld(Entry& entry) const;
    void noteEnabling(CapsuleInfo& info) const;
    std::string load();  // what went wrong, one file a line
    Result<void> checkRunnable(const manifest::Manifest& manifest) const;
    Result<void> checkPlace(const std::string& name, bool replace) const;
    std::filesystem::path installed(std::string_view name) const;

    std::vector<std::filesystem::path> folders_;
    std::filesystem::path state_;
    const PolicyFiles& policies_;
    const SyscallTable& table_;
    std::map<std::string, Entry, std::less<>> entries_;
    std::uint64_t revision_ = 0;
    Enablings enablings_;
};

}  // namespace recap::plan
