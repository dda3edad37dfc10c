// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/capsules.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/plan/info.hpp"
#include "daemon/plan/narrow.hpp"
#include "daemon/plan/words.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/manifest/files.hpp"
#include "sdk/manifest/reader.hpp"
#include "sdk/manifest/sections.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

bool isThere(const std::filesystem::path& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

CapsuleFiles::CapsuleFiles(const Folders& folders, const PolicyFiles& policies, const SyscallTable& table)
    : state_(std::filesystem::path(folders.state) / "capsules"),
      policies_(policies),
      table_(table),
      enablings_(std::filesystem::path(folders.state) / "enabled") {
    folders_ = {std::filesystem::path(folders.vendor) / "capsules", state_, std::filesystem::path(folders.runtime) / "capsules",
                std::filesystem::path(folders.config) / "capsules"};
}

std::filesystem::path CapsuleFiles::installed(std::string_view name) const { return state_ / (std::string(name) + ".toml"); }

CapsuleFiles::Entry CapsuleFiles::read(const std::string& name, const std::filesystem::path& path) const {
    Entry entry;
    entry.info.name = name;
    auto text = manifest::readText(path);
    if (!text) {
        entry.info.problem = text.error().message;
    } else if (auto read = manifest::readManifest(*text, path.string()); !read) {
        entry.info.problem = manifest::join(read.diagnostics);
    } else if (read.value->name != name) {
        entry.info.problem = path.string() + ": capsule.name is '" + read.value->name + "'; a capsule's file is called as it, with .toml";
    } else {
        entry.info = describeManifest(*read.value);
        entry.manifest = std::make_shared<const manifest::Manifest>(std::move(*read.value));
    }
    entry.info.path = path.string();
    if (text) entry.text = std::move(*text);
    return entry;
}

// A bad file is reported, and what was right before goes on.
void CapsuleFiles::keepOld(Entry& entry) const {
    const auto old = entries_.find(entry.info.name);
    if (old == entries_.end() || !old->second.manifest) return;
    const std::string problem = std::move(entry.info.problem), path = std::move(entry.info.path);
    entry = old->second;
    entry.info.problem = problem;
    entry.info.path = path;
}

void CapsuleFiles::noteEnabling(CapsuleInfo& info) const {
    const auto enabling = enablings_.find(info.name);
    info.enabled = enabling.has_value();
    info.enabling = enabling.value_or(Enabling());
}

std::string CapsuleFiles::load() {
    std::map<std::string, Entry, std::less<>> next;
    std::string problems = enablings_.load();
    for (const auto& file : manifest::layeredFiles(folders_)) {
        const std::string name = file.name.substr(0, file.name.size() - 5);
        auto entry = read(name, file.path);
        const auto old = entries_.find(name);
        if (!entry.info.problem.empty()) {
            problems += (problems.empty() ? "" : "\n") + entry.info.problem;
            keepOld(entry);
        } else {
            const bool same = old != entries_.end() && old->second.manifest && old->second.text == entry.text;
            entry.info.revision = same ? old->second.info.revision : ++revision_;
        }
        noteEnabling(entry.info);
        next.emplace(name, std::move(entry));
    }
    entries_ = std::move(next);
    return problems;
}

Result<void> CapsuleFiles::reload() {
    auto problems = load();
    if (!problems.empty()) return fail(Errc::InvalidArgument, std::move(problems));
    return {};
}

Result<const CapsuleFiles::Entry*> CapsuleFiles::usable(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end())
        return fail(Errc::NotFound,
                    "no capsule " + manifest::printable(name) + "; 'recapctl capsules' lists them, 'recapctl capsule install' adds one");
    if (!found->second.manifest)
        return fail(Errc::InvalidArgument, "capsule '" + std::string(name) + "' can't be read: " + found->second.info.problem);
    return &found->second;
}

Result<const CapsuleInfo*> CapsuleFiles::find(std::string_view name) const {
    auto entry = usable(name);
    if (!entry) return forward(std::move(entry));
    return &(*entry)->info;
}

Result<std::shared_ptr<const manifest::Manifest>> CapsuleFiles::manifest(std::string_view name) const {
    auto entry = usable(name);
    if (!entry) return forward(std::move(entry));
    return (*entry)->manifest;
}

std::vector<const CapsuleInfo*> CapsuleFiles::list() const {
    std::vector<const CapsuleInfo*> result;
    for (const auto& [name, entry] : entries_) result.push_back(&entry.info);
    return result;
}

// Better said to who installs than to who runs.
Result<void> CapsuleFiles::checkRunnable(const manifest::Manifest& manifest) const {
    auto policy = policies_.find(manifest.sandbox.policy);
    if (!policy) return forward(std::move(policy), "sandbox.policy");
    auto asked = (*policy)->asked(manifest, table_);
    if (!asked) return forward(std::move(asked));
    auto narrowed = narrowAll(std::move(*asked), {policy->get()});
    if (!narrowed) return forward(std::move(narrowed));
    return {};
}

Result<void> CapsuleFiles::checkPlace(const std::string& name, bool replace) const {
    for (auto folder = folders_.rbegin(); *folder != state_; ++folder) {
        const auto path = *folder / (name + ".toml");
        if (isThere(path))
            return fail(Errc::AlreadyExists, path.string() + " masks what would be installed as capsule '" + name + "'; remove it first");
    }
    if (const auto found = entries_.find(name); found != entries_.end() && !replace)
        return fail(Errc::AlreadyExists, "capsule '" + name + "' is there already, from " + found->second.info.path +
                                             "; installing over it needs the option to replace");
    return {};
}

Result<std::string> CapsuleFiles::nameIn(std::string_view toml) const {
    auto read = manifest::readManifest(toml, "capsule.toml");
    if (!read) return fail(Errc::InvalidArgument, manifest::join(read.diagnostics));
    return read.value->name;
}

Result<CapsuleInfo> CapsuleFiles::infoIn(std::string_view toml) const {
    auto read = manifest::readManifest(toml, "capsule.toml");
    if (!read) return fail(Errc::InvalidArgument, manifest::join(read.diagnostics));
    return describeManifest(*read.value);
}

Result<std::string> CapsuleFiles::install(std::string_view toml, bool replace) {
    auto read = manifest::readManifest(toml, "capsule.toml");
    if (!read) return fail(Errc::InvalidArgument, manifest::join(read.diagnostics));
    const std::string name = read.value->name;
    if (auto runnable = checkRunnable(*read.value); !runnable) return forward(std::move(runnable), "capsule '" + name + "'");
    if (auto place = checkPlace(name, replace); !place) return forward(std::move(place));
    if (::mkdir(state_.c_str(), 0700) != 0 && errno != EEXIST) return failErrno("mkdir " + state_.string());
    if (auto written = manifest::writeText(installed(name), toml, 0600); !written) return forward(std::move(written));
    load();
    return name;
}

Result<void> CapsuleFiles::remove(std::string_view name) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return fail(Errc::NotFound, "no capsule " + manifest::printable(name));
    const auto path = installed(found->first);
    if (!isThere(path))
        return fail(Errc::InvalidArgument, "capsule '" + found->first + "' was not installed, it comes from " + found->second.info.path +
                                               "; a link to /dev/null of that name in the configuration's capsules folder masks it");
    // Another one of this name, installed later, is nobody's to run by itself.
    if (auto disabled = enablings_.remove(found->first); !disabled) return disabled;
    if (::unlink(path.c_str()) != 0) return failErrno("remove " + path.string());
    const UniqueFd folder(::open(state_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0) return failErrno("sync " + state_.string());
    load();
    return {};
}

Result<void> CapsuleFiles::enable(std::string_view name, std::uint32_t uid) {
    const auto entry = usable(name);
    if (!entry) return tl::unexpected(entry.error());
    CapsuleInfo& info = entries_.find(name)->second.info;
    if (auto added = enablings_.add(info.name, uid, asks(info)); !added) return forward(std::move(added));
    noteEnabling(info);
    return {};
}

Result<void> CapsuleFiles::restore(std::string_view name, const Enabling& enabling) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return fail(Errc::NotFound, "no capsule " + manifest::printable(name));
    if (auto put = enablings_.put(found->first, enabling); !put) return forward(std::move(put));
    noteEnabling(found->second.info);
    return {};
}

Result<void> CapsuleFiles::disable(std::string_view name) {
    if (!entries_.contains(name) && !enablings_.find(name)) return fail(Errc::NotFound, "no capsule " + manifest::printable(name));
    if (auto removed = enablings_.remove(std::string(name)); !removed) return removed;
    if (const auto found = entries_.find(name); found != entries_.end()) noteEnabling(found->second.info);
    return {};
}

void CapsuleFiles::ranAsScheduled(std::string_view name) {
    if (const auto found = entries_.find(name); found != entries_.end()) found->second.info.enabling.last = enablings_.ran(found->first);
}

}  // namespace recap::plan
