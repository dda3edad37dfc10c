// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/ceiling.hpp"

#include <algorithm>
#include <cmath>

#include "sdk/manifest/sections.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

void readMask(TableReader& table, std::string_view key, const std::vector<std::string_view>& words, std::uint32_t always,
              std::optional<std::uint32_t>& into) {
    std::vector<std::size_t> indices;
    if (!table.choices(key, indices, words)) return;
    into = always;
    for (const auto index : indices) *into |= 1u << index;
}

// The host's files, its rights and its cgroups are nobody's to allow.
std::string checkHostNamespace(std::string_view word) {
    constexpr std::string_view kNever[] = {"mnt", "user", "cgroup"};
    if (std::ranges::find(kNever, word) != std::end(kNever)) return "the host's " + std::string(word) + " namespace is never joined";
    return std::ranges::find(kNamespaceWords, word) != kNamespaceWords.end()
               ? ""
               : "'" + std::string(word) + "' is not one of pid, net, ipc, uts, time";
}

void readHostNamespaces(TableReader& table, std::optional<std::uint32_t>& into) {
    std::vector<std::string> words;
    if (!table.texts("host-namespaces", words, checkHostNamespace)) return;
    into = 0;
    for (const auto& word : words) *into |= 1u << (std::ranges::find(kNamespaceWords, word) - kNamespaceWords.begin());
}

void size(TableReader& table, std::string_view key, std::optional<std::uint64_t>& into) {
    if (std::uint64_t value = 0; table.size(key, value)) into = value;
}

void duration(TableReader& table, std::string_view key, std::optional<std::chrono::microseconds>& into) {
    if (std::chrono::microseconds value{}; table.duration(key, value)) into = value;
}

template <class Int>
void integer(TableReader& table, std::string_view key, std::optional<Int>& into, std::int64_t most) {
    if (Int value = 0; table.integer(key, value, 1, most)) into = value;
}

void readMax(TableReader table, CeilingFile& into) {
    size(table, "memory", into.maxMemory);
    if (double cpu = 0; table.number("cpu", cpu, 0.01, 4096)) into.maxCpuMilli = static_cast<std::uint32_t>(std::lround(cpu * 1000));
    integer(table, "pids", into.maxPids, 4'194'304);
    size(table, "scratch", into.maxScratch);
    duration(table, "timeout", into.maxTimeout);
    duration(table, "grace", into.maxGrace);
    size(table, "artifacts", into.maxArtifacts);
    size(table, "log", into.maxLog);
    integer(table, "open-files", into.openFiles, 1'048'576);
    integer(table, "runs", into.maxRuns, 1'000'000);
    table.finish();
}

}  // namespace

Read<CeilingFile> readCeiling(std::string_view text, std::string_view file) {
    Read<CeilingFile> result;
    const auto document = parseDocument(text, file, result.diagnostics);
    if (!document) return result;
    TableReader root(*document, "", file, result.diagnostics);
    CeilingFile ceiling;
    readMask(root, "namespaces", kNamespaceWords, 0, ceiling.namespaces);
    readHostNamespaces(root, ceiling.hostNamespaces);
    readMask(root, "processes", kProcessesWords, 1, ceiling.processes);
    readMask(root, "views", kViewWords, 1, ceiling.views);
    if (std::vector<std::string> writes; root.texts("writes", writes, checkPath)) ceiling.writes = std::move(writes);
    if (std::uint64_t mask = 0; readCapabilities(root, "capabilities", mask)) ceiling.capabilities = mask;
    readMask(root, "watch", {"oom", "pressure", "file"}, 0, ceiling.watch);
    if (bool value = false; root.boolean("freeze", value)) ceiling.freeze = value;
    if (bool value = false; root.boolean("root-user", value)) ceiling.rootUser = value;
    if (bool best = false; root.choice("limits", best, {{"enforced", false}, {"best-effort", true}})) ceiling.bestEffortLimits = best;
    duration(root, "estate-keep", ceiling.estateKeep);
    size(root, "estate-max", ceiling.estateMax);
    if (auto table = root.table("max")) readMax(*table, ceiling);
    root.finish();
    sortByPosition(result.diagnostics);
    if (result.diagnostics.empty()) result.value = std::move(ceiling);
    return result;
}

}  // namespace recap::manifest
