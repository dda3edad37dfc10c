// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/reader.hpp"

#include "sdk/manifest/sections.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

constexpr std::int64_t kSchema = 1;

std::string checkTextOfArgument(std::string_view text) { return text.size() > 16384 ? "an argument has at most 16384 characters" : ""; }

std::string checkWorkdir(std::string_view text) {
    if (auto wrong = checkPath(text); !wrong.empty()) return wrong;
    return text == "/proc" || text.starts_with("/proc/") ? printable(text) + " is below /proc, which is no place to start in" : "";
}

// False: a schema this reader doesn't know; nothing else in the file can be judged.
bool readSchema(TableReader& root, Manifest& into) {
    root.require("manifest");
    std::int64_t schema = kSchema;
    if (root.integer("manifest", schema, 1, 1'000'000) && schema != kSchema) {
        root.note("manifest", "schema " + std::to_string(schema) + " is not known; this recap knows schema 1");
        return false;
    }
    into.schema = static_cast<std::uint32_t>(schema);
    return true;
}

void readRequirements(TableReader& root, Manifest& into, std::string_view recapVersion) {
    if (!root.texts("requires", into.requirements)) return;
    for (const auto& requirement : into.requirements)
        if (auto met = checkRequirement(requirement, recapVersion); !met) root.note("requires", met.error().message);
}

void readEnvironment(TableReader table, std::map<std::string, std::string>& into) {
    for (const Entry* entry : table.rest()) {
        std::string value;
        if (auto wrong = checkEnvName(entry->key); !wrong.empty())
            table.noteAt(entry->position, printableKey(entry->key), wrong);
        else if (table.text(entry->key, value))
            into[entry->key] = value;
    }
}

void readCapsule(TableReader table, Manifest& into) {
    for (const auto* key : {"name", "image"}) table.require(key);
    table.text("name", into.name, checkName);
    table.text("version", into.version, checkVersion);
    table.text("description", into.description);
    table.text("image", into.image, checkReference);
    if (table.texts("command", into.command, checkTextOfArgument) && (into.command.empty() || into.command.front().empty()))
        table.note("command", "the first word is the program to run; leave 'command' out to use the image's own");
    table.choice("args", into.args, {{"append", ArgsMode::Append}, {"replace", ArgsMode::Replace}, {"refuse", ArgsMode::Refuse}});
    if (auto env = table.table("env")) readEnvironment(*env, into.env);
    table.text("workdir", into.workdir, checkWorkdir);
    table.boolean("tty", into.tty);
    table.finish();
}

// What one table says about another.
void checkTogether(TableReader& root, const Manifest& manifest) {
    if (manifest.args == ArgsMode::Replace && manifest.schedule.periodic && manifest.command.empty())
        root.note("schedule", "a periodic capsule gives no arguments; set capsule.command");
    if (!manifest.schedule.onDemand && !manifest.schedule.periodic && manifest.schedule.events.empty())
        root.note("schedule", "nothing can ever start this capsule: on-demand is false, and there is no periodic and no event table");
    if (manifest.output.artifacts == manifest.workdir && manifest.output.artifacts == "/")
        root.note("output", "artifacts can't be the root folder");
}

}  // namespace

Read<Manifest> readManifest(std::string_view text, std::string_view file, std::string_view recapVersion) {
    Read<Manifest> result;
    const auto document = parseDocument(text, file, result.diagnostics);
    if (!document) return result;
    TableReader root(*document, "", file, result.diagnostics);
    Manifest manifest;
    if (!readSchema(root, manifest)) return result;
    readRequirements(root, manifest, recapVersion);
    root.require("capsule");
    if (auto table = root.table("capsule")) readCapsule(*table, manifest);
    if (auto table = root.table("build")) readBuild(*table, manifest);
    if (auto table = root.table("target")) readTarget(*table, manifest.target);
    if (auto table = root.table("sandbox")) readSandbox(*table, manifest.sandbox);
    if (auto table = root.table("limits")) readLimits(*table, manifest.limits);
    if (auto table = root.table("schedule")) readSchedule(*table, manifest.schedule);
    if (auto table = root.table("output")) readOutput(*table, manifest.output);
    root.finish();
    checkTogether(root, manifest);
    sortByPosition(result.diagnostics);
    if (result.diagnostics.empty()) result.value = std::move(manifest);
    return result;
}

}  // namespace recap::manifest
