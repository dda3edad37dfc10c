// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/settings.hpp"

#include <charconv>
#include <limits>

#include "sdk/manifest/files.hpp"
#include "sdk/manifest/table_reader.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

std::string plain(const Node& node) {
    if (node.kind == Node::Kind::Boolean) return node.boolean ? "true" : "false";
    if (node.kind == Node::Kind::Integer) return std::to_string(node.integer);
    if (node.kind != Node::Kind::Float) return node.text;
    char buffer[64];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, node.number);
    return error == std::errc{} ? std::string(buffer, end) : "";
}

class PluginValues {
public:
    PluginValues(TableReader& table, PluginTable& into) : table_(table), into_(into) {}

    void read(const std::vector<const Entry*>& entries) {
        for (const Entry* entry : entries) add(entry->key, entry->value);
    }

private:
    void add(const std::string& key, const Node& node) {
        if (hasControl(key)) return table_.noteAt(node.position, printableKey(key), "a control character is not allowed here");
        if (node.kind == Node::Kind::Table) {
            for (const auto& entry : node.entries) add(key + "." + entry.key, entry.value);
            return;
        }
        std::vector<std::string> values;
        if (node.kind != Node::Kind::Array) {
            if (scalar(key, node)) into_.values[key] = {plain(node)};
            return;
        }
        for (const auto& item : node.items)
            if (scalar(key, item)) values.push_back(plain(item));
        into_.values[key] = std::move(values);
    }

    bool scalar(const std::string& key, const Node& node) {
        if (node.kind == Node::Kind::Table || node.kind == Node::Kind::Array || node.kind == Node::Kind::Time)
            table_.noteAt(node.position, key, "expected a string, a number, or true or false, found " + std::string(describe(node.kind)));
        else if (hasControl(node.text))
            table_.noteAt(node.position, key, "a control character is not allowed here");
        else
            return true;
        return false;
    }

    TableReader& table_;
    PluginTable& into_;
};

// A pattern that could begin anywhere would be met by a cgroup that any user may make below its own.
std::string checkCgroupPattern(std::string_view text) {
    if (text.empty() || text.front() != '/') return printable(text) + " does not begin with '/'; a cgroup's whole path is matched";
    if (text.size() > 4095) return "a cgroup's path has at most 4095 characters";
    return "";
}

void readPlugins(TableReader table, SettingsFile& into) {
    for (const Entry* entry : table.rest()) {
        if (auto wrong = checkName(entry->key); !wrong.empty()) {
            table.noteAt(entry->position, printableKey(entry->key), wrong);
            continue;
        }
        auto settings = table.table(entry->key);
        if (!settings) continue;
        auto& plugin = into.plugins[entry->key];
        plugin.name = entry->key;
        if (plugin.plugin.empty()) plugin.plugin = entry->key;
        settings->text("plugin", plugin.plugin, checkName);
        settings->boolean("enabled", plugin.enabled);
        if (settings->texts("cgroups", plugin.cgroups, checkCgroupPattern) && plugin.cgroups.empty())
            settings->note("cgroups", "an empty list would leave this backend no target; leave the key out for any");
        settings->texts("runtimes", plugin.runtimes, checkNotEmpty);
        PluginValues(*settings, plugin).read(settings->rest());
    }
}

void readTenantTarget(TableReader table, SettingsFile& into) {
    TenantTarget target;
    table.require("tenant");
    table.text("tenant", target.tenant, checkName);
    table.text("backend", target.backend, checkName);
    table.text("cgroup", target.cgroup, checkPath);
    if (std::uint32_t uid = 0; table.integer("root-uid", uid, 1, std::numeric_limits<std::uint32_t>::max() - 1)) target.rootUid = uid;
    if (!table.has("backend") && !table.has("cgroup") && !table.has("root-uid"))
        table.note("tenant", "needs at least one of backend, cgroup, root-uid beside it: what makes a target this tenant's");
    table.finish();
    into.tenantTargets.push_back(std::move(target));
}

void readTenantCaller(TableReader table, SettingsFile& into) {
    TenantCaller caller;
    table.require("tenants");
    table.text("user", caller.user, checkNotEmpty);
    table.text("group", caller.group, checkNotEmpty);
    table.texts("tenants", caller.tenants, checkName);
    if (table.has("user") == table.has("group")) table.note("tenants", "needs exactly one of user and group beside it");
    table.finish();
    into.tenantCallers.push_back(std::move(caller));
}

void readLimits(TableReader table, SettingsFile& into) {
    struct Limit {
        const char* key;
        std::optional<std::uint32_t>& into;
        std::int64_t most;
    };
    for (const auto& limit :
         {Limit{"runs", into.runs, 65536}, Limit{"runs-per-target", into.runsPerTarget, 65536}, Limit{"queue", into.queue, 100'000}})
        if (std::uint32_t number = 0; table.integer(limit.key, number, 1, limit.most)) limit.into = number;
    table.finish();
}

void readText(const NamedText& text, SettingsFile& into, Diagnostics& diagnostics) {
    Diagnostics found;
    if (const auto document = parseDocument(text.text, text.file, found)) {
        TableReader root(*document, "", text.file, found);
        if (auto table = root.table("plugins")) readPlugins(*table, into);
        root.texts("policies", into.policies, checkName);
        if (auto table = root.table("runs")) {
            if (std::chrono::microseconds grace{}; table->duration("grace", grace)) into.grace = grace;
            table->finish();
        }
        if (auto table = root.table("limits")) readLimits(*table, into);
        if (auto table = root.table("tenants")) {
            for (auto& target : table->tables("target")) readTenantTarget(target, into);
            for (auto& caller : table->tables("caller")) readTenantCaller(caller, into);
            table->finish();
        }
        root.finish();
    }
    sortByPosition(found);
    diagnostics.insert(diagnostics.end(), found.begin(), found.end());
}

}  // namespace

std::vector<std::pair<std::string, std::string>> PluginTable::pairs() const {
    std::vector<std::pair<std::string, std::string>> result;
    for (const auto& [key, list] : values)
        for (const auto& value : list) result.emplace_back(key, value);
    return result;
}

Read<SettingsFile> readSettings(const std::vector<NamedText>& texts) {
    Read<SettingsFile> result;
    SettingsFile settings;
    for (const auto& text : texts) readText(text, settings, result.diagnostics);
    if (result.diagnostics.empty()) result.value = std::move(settings);
    return result;
}

Read<SettingsFile> loadSettings(const std::vector<std::filesystem::path>& folders) {
    std::vector<std::filesystem::path> files, dropIns;
    if (auto base = layeredFile(folders, "recapd.toml"); !base.empty()) files.push_back(std::move(base));
    for (const auto& folder : folders) dropIns.push_back(folder / "recapd.toml.d");
    for (auto& file : layeredFiles(dropIns)) files.push_back(std::move(file.path));
    std::vector<NamedText> texts;
    Diagnostics unread;
    for (const auto& file : files) {
        if (auto text = readText(file))
            texts.push_back({file.string(), std::move(*text)});
        else
            unread.push_back({file.string(), 0, 0, "", std::move(text.error().message)});
    }
    auto result = readSettings(texts);
    result.diagnostics.insert(result.diagnostics.end(), unread.begin(), unread.end());
    if (!unread.empty()) result.value.reset();
    return result;
}

}  // namespace recap::manifest
