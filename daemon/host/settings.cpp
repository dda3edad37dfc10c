// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/settings.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <map>

#include "sdk/manifest/document.hpp"
#include "sdk/manifest/files.hpp"

namespace recap::host {
namespace {

using manifest::Node;
using Values = std::map<std::string, std::vector<std::string>>;

// What recapd or the host itself reads of the table; never a plugin's.
constexpr std::array<std::string_view, 4> kOwnKeys{"plugin", "enabled", "cgroups", "runtimes"};

// A host holds what its engine needs: who may write its settings decides where that goes.
Result<void> checkOwner(const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return failErrno(path.string());
    if (info.st_uid != 0 && info.st_uid != ::geteuid())
        return fail(Errc::Denied,
                    path.string() + ": owned by uid " + std::to_string(info.st_uid) + "; settings are read from root's files only");
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail(Errc::Denied, path.string() + ": writable by group or others; chmod go-w would allow it");
    return {};
}

std::string scalar(const Node& node) {
    switch (node.kind) {
        case Node::Kind::Integer: return std::to_string(node.integer);
        case Node::Kind::Boolean: return node.boolean ? "true" : "false";
        case Node::Kind::Float: {
            std::array<char, 64> text{};
            std::snprintf(text.data(), text.size(), "%.17g", node.number);
            return text.data();
        }
        default: return node.text;
    }
}

void flatten(const Node& node, const std::string& key, Values& into) {
    if (node.kind == Node::Kind::Table) {
        for (const auto& entry : node.entries) flatten(entry.value, key.empty() ? entry.key : key + "." + entry.key, into);
        return;
    }
    auto& values = into[key];
    values.clear();
    if (node.kind != Node::Kind::Array) return values.push_back(scalar(node));
    for (const auto& item : node.items) values.push_back(scalar(item));
}

const Node* member(const Node* table, std::string_view key) {
    if (table == nullptr || table->kind != Node::Kind::Table) return nullptr;
    const auto found = std::find_if(table->entries.begin(), table->entries.end(), [&](const auto& entry) { return entry.key == key; });
    return found == table->entries.end() ? nullptr : &found->value;
}

Result<void> readFile(const std::filesystem::path& path, const std::string& name, Values& into) {
    if (auto owned = checkOwner(path); !owned) return owned;
    const auto text = manifest::readText(path);
    if (!text) return tl::unexpected(text.error());
    manifest::Diagnostics diagnostics;
    const auto document = manifest::parseDocument(*text, path.string(), diagnostics);
    if (!document) return fail(Errc::InvalidArgument, manifest::join(diagnostics));
    const Node* table = member(member(&*document, "plugins"), name);
    if (table != nullptr) flatten(*table, "", into);
    return {};
}

}  // namespace

Result<InstanceSettings> readInstance(const SettingsDirs& dirs, const std::string& name) {
    std::vector<std::filesystem::path> files;
    const std::vector<std::filesystem::path> folders{dirs.vendor, dirs.runtime, dirs.config};
    if (auto main = manifest::layeredFile(folders, "recapd.toml"); !main.empty()) files.push_back(std::move(main));
    std::vector<std::filesystem::path> dropIns;
    for (const auto& folder : folders) dropIns.push_back(folder / "recapd.toml.d");
    for (auto& dropIn : manifest::layeredFiles(dropIns)) files.push_back(std::move(dropIn.path));

    Values values;
    for (const auto& file : files) {
        if (auto read = readFile(file, name, values); !read) return forward(std::move(read));
    }
    InstanceSettings settings{name, {}};
    if (const auto plugin = values.find("plugin"); plugin != values.end() && !plugin->second.empty())
        settings.plugin = plugin->second.front();
    for (const auto own : kOwnKeys) values.erase(std::string(own));
    for (const auto& [key, list] : values) {
        for (const auto& value : list) settings.values.emplace_back(key, value);
    }
    return settings;
}

}  // namespace recap::host
