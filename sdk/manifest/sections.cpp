// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/sections.hpp"

#include <charconv>

#include "sdk/manifest/capabilities.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::manifest {
namespace {

void readSelector(TableReader table, std::map<std::string, std::string>& into) {
    for (const Entry* entry : table.rest()) {
        std::string value;
        if (auto wrong = checkLabelKey(entry->key); !wrong.empty())
            table.noteAt(entry->position, printableKey(entry->key), wrong);
        else if (table.text(entry->key, value))
            into[entry->key] = value;
    }
}

void readExpression(TableReader table, std::vector<SelectorExpression>& into) {
    SelectorExpression expression;
    for (const auto* key : {"key", "op"}) table.require(key);
    table.text("key", expression.key, checkLabelKey);
    const bool known =
        table.choice("op", expression.op, {{"=", "="}, {"!=", "!="}, {"in", "in"}, {"notin", "notin"}, {"exists", "exists"}});
    table.texts("values", expression.values);
    const std::size_t count = expression.values.size();
    if (known && expression.op == "exists" && count != 0) table.note("values", "'exists' takes no values");
    if (known && (expression.op == "=" || expression.op == "!=") && count != 1)
        table.note("values", "'" + expression.op + "' takes one value");
    if (known && (expression.op == "in" || expression.op == "notin") && count == 0)
        table.note("values", "'" + expression.op + "' takes at least one value");
    table.finish();
    into.push_back(std::move(expression));
}

bool parseMode(std::string_view text, TargetSelection& into) {
    if (text == "all" || text == "one") {
        into.mode = text == "all" ? TargetMode::All : TargetMode::One;
        return true;
    }
    const bool fixed = text.starts_with("fixed:"), percent = text.starts_with("percent:");
    if (!fixed && !percent) return false;
    const auto digits = text.substr(text.find(':') + 1);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || digits.front() == '0' || error != std::errc{} || end != digits.data() + digits.size()) return false;
    if (percent ? value > 100 : value > 100'000) return false;
    into.mode = fixed ? TargetMode::Fixed : TargetMode::Percent;
    into.modeValue = value;
    return true;
}

void readProcesses(TableReader& table, Sandbox& into) {
    std::vector<std::size_t> spaces;
    table.choices("namespaces", spaces, kNamespaceWords);
    for (const auto index : spaces) into.namespaces |= 1u << index;
    const bool given =
        table.choice("processes", into.processes, {{"none", Processes::None}, {"observe", Processes::Observe}, {"join", Processes::Join}});
    const auto pid = static_cast<std::uint32_t>(Namespace::Pid);
    if (into.namespaces & pid) {
        if (given && into.processes != Processes::Join)
            table.note("processes", "\"pid\" in namespaces means processes = \"join\"; leave one of the two out");
        into.processes = Processes::Join;
    }
    if (into.processes == Processes::Join) into.namespaces |= pid;
}

// Paths in the image, each with what `check` passes.
void readPaths(TableReader table, std::string (*check)(std::string_view), std::map<std::string, std::string>& into) {
    for (const Entry* entry : table.rest()) {
        std::string what;
        if (auto wrong = checkPath(entry->key); !wrong.empty())
            table.noteAt(entry->position, printableKey(entry->key), wrong);
        else if (table.text(entry->key, what, check))
            into[entry->key] = what;
    }
}

}  // namespace

void readBuild(TableReader table, Manifest& into) {
    Build build;
    const int given = table.has("packages") + table.has("binaries") + table.has("dockerfile");
    table.texts("packages", build.packages, checkPackage);
    table.texts("binaries", build.binaries, checkRelativePath);  // or absolute
    table.text("dockerfile", build.dockerfile, checkRelativePath);
    if (auto files = table.table("files")) readPaths(*files, checkRelativePath, build.files);
    if (auto links = table.table("links")) readPaths(*links, checkNotEmpty, build.links);
    if (given != 1) table.noteAt(table.node().position, "packages", "exactly one of packages, binaries and dockerfile is needed here");
    for (const auto* key : {"packages", "binaries"})
        if (table.has(key) && build.packages.empty() && build.binaries.empty() && given == 1)
            table.note(key, "an empty list makes no image");
    table.finish();
    into.build = std::move(build);
}

void readTarget(TableReader table, TargetSelection& into) {
    if (auto selector = table.table("selector")) readSelector(*selector, into.selector);
    for (auto& expression : table.tables("expressions")) readExpression(expression, into.expressions);
    table.texts("backends", into.backends, checkName);
    std::string mode;
    if (table.text("mode", mode) && !parseMode(mode, into))
        table.note("mode", printable(mode) + " is not one of all, one, fixed:N (N from 1), percent:P (P from 1 to 100)");
    table.integer("parallel", into.parallel, 1, 1024);
    table.finish();
}

bool readCapabilities(TableReader& table, std::string_view key, std::uint64_t& mask) {
    std::vector<std::size_t> numbers;
    if (!table.choices(key, numbers, capabilityNames())) return false;
    mask = 0;
    for (const auto number : numbers) mask |= std::uint64_t{1} << number;
    return true;
}

void readSyscallSet(TableReader& table, Syscalls& into) {
    table.texts("groups", into.groups, checkSyscallGroup);
    table.texts("allow", into.allow, checkSyscall);
    table.texts("deny", into.deny,
                [](std::string_view text) { return text.starts_with('@') ? checkSyscallGroup(text) : checkSyscall(text); });
    OnViolation action{};
    if (table.choice("on-violation", action, {{"errno", OnViolation::Errno}, {"kill", OnViolation::Kill}, {"log", OnViolation::Log}}))
        into.onViolation = action;
}

void readSandbox(TableReader table, Sandbox& into) {
    readProcesses(table, into);
    table.choice("view", into.view,
                 {{"none", View::None}, {"read-only", View::ReadOnly}, {"merged", View::Merged}, {"write", View::Write}});
    const bool writes = table.texts("writes", into.writes, checkPath);
    if (writes && !into.writes.empty() && into.view != View::Write) table.note("writes", "only view = \"write\" writes anything");
    if (into.view == View::Write && into.writes.empty() && !table.has("writes"))
        table.note("view", "\"write\" needs 'writes': the paths that may be written");
    std::string user;
    if (table.text("user", user)) {
        if (auto parsed = parseUser(user))
            into.user = *parsed;
        else
            table.note("user", parsed.error().message);
    }
    if (std::uint64_t mask = 0; readCapabilities(table, "capabilities", mask)) into.capabilities = capabilityNames(mask);
    table.text("policy", into.policy, checkName);
    table.boolean("freeze", into.freeze);
    if (std::vector<std::size_t> keys; table.choices("adjustable", keys, kAdjustableWords))
        for (const auto key : keys) into.adjustable |= 1u << key;
    table.text("reason", into.reason);
    if (auto syscalls = table.table("syscalls")) {
        readSyscallSet(*syscalls, into.syscalls);
        syscalls->finish();
    }
    table.finish();
}

void readLimits(TableReader table, Limits& into) {
    if (std::uint64_t value = 0; table.size("memory", value)) into.memory = value;
    if (double value = 0; table.number("cpu", value, 0.01, 4096)) into.cpu = value;
    if (std::uint32_t value = 0; table.integer("pids", value, 1, 4'194'304)) into.pids = value;
    if (std::uint64_t value = 0; table.size("scratch", value)) into.scratch = value;
    if (std::chrono::microseconds value{}; table.duration("timeout", value)) into.timeout = value;
    table.finish();
}

void readOutput(TableReader table, Output& into) {
    table.text("artifacts", into.artifacts, [](std::string_view text) {
        if (text == "/" || text == "/proc" || text == "/dev" || text == "/target" || text.starts_with("/proc/") ||
            text.starts_with("/dev/") || text.starts_with("/target/"))
            return printable(text) + " can't hold artifacts: /, /proc, /dev and /target are made by recap";
        return checkPath(text);
    });
    table.size("max-size", into.maxSize);
    table.choice("storage", into.storage, {{"memory", Storage::Memory}, {"disk", Storage::Disk}});
    if (std::chrono::microseconds keep{}; table.duration("keep", keep)) into.keep = std::chrono::ceil<std::chrono::seconds>(keep);
    table.choice("verdict", into.verdict, {{"exit-status", Verdict::ExitStatus}, {"report", Verdict::Report}});
    table.finish();
}

}  // namespace recap::manifest
