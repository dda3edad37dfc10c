// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/policies.hpp"

#include "daemon/plan/words.hpp"
#include "sdk/manifest/files.hpp"
#include "sdk/manifest/profile.hpp"

namespace recap::plan {

PolicyFiles::PolicyFiles(const Folders& folders, const SyscallTable& table)
    : folders_{std::filesystem::path(folders.vendor) / "policies", std::filesystem::path(folders.runtime) / "policies",
               std::filesystem::path(folders.config) / "policies"},
      table_(table) {}

PolicyFiles::Entry PolicyFiles::read(const std::string& name, const std::filesystem::path& path) const {
    Entry entry;
    entry.info.name = name;
    entry.info.path = path.string();
    auto text = manifest::readText(path);
    if (!text) {
        entry.info.problem = text.error().message;
        return entry;
    }
    entry.text = std::move(*text);
    auto profile = manifest::readProfile(entry.text, path.string());
    if (!profile) {
        entry.info.problem = manifest::join(profile.diagnostics);
    } else if (profile.value->name != name) {
        entry.info.problem =
            path.string() + ": profile.name is '" + profile.value->name + "'; a profile's file is called as it, with .toml";
    } else {
        entry.info.description = profile.value->description;
        auto policy = ProfilePolicy::make(std::move(*profile.value), table_);
        if (policy)
            entry.policy = std::move(*policy);
        else
            entry.info.problem = path.string() + ": " + policy.error().message;
    }
    return entry;
}

Result<void> PolicyFiles::reload() {
    std::map<std::string, Entry, std::less<>> next;
    std::string problems;
    for (const auto& file : manifest::layeredFiles(folders_)) {
        const std::string name = file.name.substr(0, file.name.size() - 5);
        auto entry = read(name, file.path);
        if (!entry.info.problem.empty()) {
            problems += (problems.empty() ? "" : "\n") + entry.info.problem;
            if (const auto old = entries_.find(name); old != entries_.end() && old->second.policy) {
                entry.policy = old->second.policy;
                entry.info.description = old->second.info.description;
            }
        }
        next.emplace(name, std::move(entry));
    }
    entries_ = std::move(next);
    ++generation_;
    if (!problems.empty()) return fail(Errc::InvalidArgument, problems);
    return {};
}

std::vector<PolicyInfo> PolicyFiles::list() const {
    std::vector<PolicyInfo> result;
    for (const auto& [name, entry] : entries_) result.push_back(entry.info);
    return result;
}

Result<std::shared_ptr<const ProfilePolicy>> PolicyFiles::find(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found != entries_.end() && found->second.policy) return found->second.policy;
    if (found != entries_.end())
        return fail(Errc::InvalidArgument, "policy '" + std::string(name) + "' can't be read: " + found->second.info.problem);
    std::vector<std::string> known;
    for (const auto& [other, entry] : entries_) known.push_back(other);
    return fail(Errc::NotFound, "no policy '" + std::string(name) + "'; there are: " + join(known));
}

}  // namespace recap::plan
