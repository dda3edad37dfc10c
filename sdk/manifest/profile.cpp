// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/profile.hpp"

#include <cmath>

#include "sdk/manifest/sections.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

std::uint32_t bits(const std::vector<std::size_t>& indices) {
    std::uint32_t mask = 0;
    for (const auto index : indices) mask |= 1u << index;
    return mask;
}

void readMask(TableReader& table, std::string_view key, const std::vector<std::string_view>& words, std::uint32_t& into) {
    std::vector<std::size_t> indices;
    if (table.choices(key, indices, words)) into |= bits(indices);
}

void readAllow(TableReader table, Profile& into) {
    readMask(table, "namespaces", kNamespaceWords, into.namespaces);
    readMask(table, "processes", kProcessesWords, into.processes);
    readMask(table, "views", kViewWords, into.views);
    table.texts("writes", into.writes, checkPath);
    std::uint32_t users = 0;
    readMask(table, "users", {"target", "root", "ids"}, users);
    into.targetUser = users & 1;
    into.rootUser = users & 2;
    into.otherUsers = users & 4;
    if (users == 0) table.note("users", "needs at least one of target, root, ids");
    readCapabilities(table, "capabilities", into.capabilities);
    table.boolean("freeze", into.freeze);
    readMask(table, "on-violation", kOnViolationWords, into.onViolation);
    table.finish();
}

void readSyscalls(TableReader table, Profile& into) {
    readSyscallSet(table, into.syscalls);
    if (into.syscalls.groups.empty()) table.note("groups", "a profile needs groups of system calls");
    if (!into.syscalls.onViolation) into.syscalls.onViolation = OnViolation::Errno;
    into.most = into.syscalls;
    if (auto most = table.table("max")) {
        into.most = {};
        readSyscallSet(*most, into.most);
        if (most->has("on-violation")) most->note("on-violation", "belongs into [syscalls] (the default) and [allow] (the choices)");
        most->finish();
    }
    into.onViolation |= 1u << static_cast<unsigned>(*into.syscalls.onViolation);
    table.finish();
}

void readLimits(TableReader& table, ProfileLimits& into, bool required) {
    if (required)
        for (const auto* key : {"memory", "cpu", "pids", "scratch", "timeout", "log"}) table.require(key);
    table.size("memory", into.memory);
    if (double cpu = 0; table.number("cpu", cpu, 0.01, 4096)) into.cpuMilli = static_cast<std::uint32_t>(std::lround(cpu * 1000));
    table.integer("pids", into.pids, 1, 4'194'304);
    table.size("scratch", into.scratch);
    table.duration("timeout", into.timeout);
    table.size("log", into.log);
}

void checkMax(TableReader& table, const ProfileLimits& least, const ProfileLimits& most) {
    const auto check = [&](const char* key, bool right) {
        if (!right) table.note(key, "the most is less than the default in [limits]");
    };
    check("memory", most.memory >= least.memory);
    check("cpu", most.cpuMilli >= least.cpuMilli);
    check("pids", most.pids >= least.pids);
    check("scratch", most.scratch >= least.scratch);
    check("timeout", most.timeout >= least.timeout);
    check("log", most.log >= least.log);
}

void readAllLimits(TableReader table, Profile& into) {
    readLimits(table, into.limits, true);
    into.max = into.limits;
    table.require("max");
    if (auto most = table.table("max")) {
        readLimits(*most, into.max, false);
        most->require("artifacts");
        most->size("artifacts", into.maxArtifacts);
        checkMax(*most, into.limits, into.max);
        most->finish();
    }
    table.finish();
}

}  // namespace

Read<Profile> readProfile(std::string_view text, std::string_view file) {
    Read<Profile> result;
    const auto document = parseDocument(text, file, result.diagnostics);
    if (!document) return result;
    TableReader root(*document, "", file, result.diagnostics);
    Profile profile;
    for (const auto* key : {"profile", "allow", "syscalls", "limits"}) root.require(key);
    if (auto table = root.table("profile")) {
        table->require("name");
        table->text("name", profile.name, checkName);
        table->text("description", profile.description);
        table->finish();
    }
    if (auto table = root.table("allow")) readAllow(*table, profile);
    if (auto table = root.table("syscalls")) readSyscalls(*table, profile);
    if (auto table = root.table("limits")) readAllLimits(*table, profile);
    root.finish();
    sortByPosition(result.diagnostics);
    if (result.diagnostics.empty()) result.value = std::move(profile);
    return result;
}

}  // namespace recap::manifest
