// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/rows.hpp"

#include <array>

namespace recap::bus {
namespace {

using sdbus::Variant;

// capability(7), by number.
constexpr std::array kCapabilities{
    "CAP_CHOWN",           "CAP_DAC_OVERRIDE",   "CAP_DAC_READ_SEARCH", "CAP_FOWNER",       "CAP_FSETID",      "CAP_KILL",          "CAP_SETGID",
    "CAP_SETUID",          "CAP_SETPCAP",        "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
    "CAP_IPC_LOCK",        "CAP_IPC_OWNER",      "CAP_SYS_MODULE",      "CAP_SYS_RAWIO",    "CAP_SYS_CHROOT",  "CAP_SYS_PTRACE",    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",       "CAP_SYS_BOOT",       "CAP_SYS_NICE",        "CAP_SYS_RESOURCE", "CAP_SYS_TIME",    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
    "CAP_LEASE",           "CAP_AUDIT_WRITE",    "CAP_AUDIT_CONTROL",   "CAP_SETFCAP",      "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN",    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",      "CAP_BLOCK_SUSPEND",  "CAP_AUDIT_READ",      "CAP_PERFMON",      "CAP_BPF",         "CAP_CHECKPOINT_RESTORE"};
constexpr std::array kNamespaces{"pid", "net", "ipc", "uts", "user", "cgroup", "time"};
constexpr std::array kProcesses{"none", "observe", "join"};
constexpr std::array kViews{"none", "read-only", "merged", "write"};
constexpr std::array kViolations{"errno", "kill", "log"};
constexpr std::array kUsers{"target", "root", "ids"};
constexpr std::array kTargetStates{"running", "paused", "stopped"};

std::string label(const auto& names, auto value) { return names[static_cast<std::size_t>(value)]; }

// As sd_bus_path_encode(3): what is no letter or digit becomes _XX.
std::string encode(const std::string& text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string path;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (letter || (byte >= '0' && byte <= '9' && i > 0))
            path += text[i];
        else
            path.append(1, '_').append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    }
    return path.empty() ? "_" : path;
}

}  // namespace

std::vector<std::string> namespaceNames(std::uint32_t bits) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < kNamespaces.size(); ++i) {
        if ((bits >> i & 1) != 0) names.emplace_back(kNamespaces[i]);
    }
    return names;
}

std::vector<std::string> capabilityNames(std::uint64_t mask) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < 64; ++i) {
        if ((mask >> i & 1) != 0) names.push_back(i < kCapabilities.size() ? kCapabilities[i] : "CAP_" + std::to_string(i));
    }
    return names;
}

std::string runPath(const RunId& id) { return "/org/recap1/run/" + id; }
std::string capsulePath(const std::string& name) { return "/org/recap1/capsule/" + encode(name); }
std::string backendPath(const std::string& name) { return "/org/recap1/backend/" + encode(name); }

std::map<std::string, std::uint64_t> phases(const Phases& phases) {
    std::map<std::string, std::uint64_t> reached;
    for (const auto& [name, time] : {std::pair{"received", phases.received}, {"planned", phases.planned}, {"attached", phases.attached},
                                     {"executing", phases.executing}, {"finished", phases.finished}, {"escaped", phases.escaped}}) {
        if (time != 0) reached[name] = time;
    }
    return reached;
}

Values row(const Target& target) {
    return {{"target", Variant(target.id.text())},
            {"backend", Variant(target.id.backend)},
            {"id", Variant(target.id.id)},
            {"name", Variant(target.name)},
            {"image", Variant(target.image)},
            {"runtime", Variant(target.runtime)},
            {"state", Variant(label(kTargetStates, target.state))},
            {"pid", Variant(static_cast<std::uint32_t>(target.pid))},
            {"labels", Variant(target.labels)},
            {"tenant", Variant(target.tenant)}};
}

Values row(const CapsuleInfo& capsule, const Image* image) {
    Values values{{"name", Variant(capsule.name)}, {"path", Variant(capsule.path)}};
    if (!capsule.problem.empty()) values["problem"] = Variant(capsule.problem);
    if (!capsule.problem.empty() && capsule.image.empty()) return values;
    values.merge(Values{{"version", Variant(capsule.version)},
                        {"description", Variant(capsule.description)},
                        {"image", Variant(capsule.image)},
                        {"command", Variant(capsule.command)},
                        {"namespaces", Variant(capsule.namespaces)},
                        {"capabilities", Variant(capsule.capabilities)},
                        {"processes", Variant(capsule.processes)},
                        {"view", Variant(capsule.view)},
                        {"user", Variant(capsule.user)},
                        {"policy", Variant(capsule.policy)},
                        {"reason", Variant(capsule.reason)},
                        {"enabled", Variant(capsule.enabled)},
                        {"privileged", Variant(privileged(capsule))},
                        {"admitted", Variant(image != nullptr && image->admitted)},
                        {"object", Variant(sdbus::ObjectPath(capsulePath(capsule.name)))}});
    if (image != nullptr) values["digest"] = Variant(image->digest);
    return values;
}

Values row(const Image& image) {
    return {{"digest", Variant(image.digest)},   {"references", Variant(image.references)},
            {"layers", Variant(image.layers)},   {"architecture", Variant(image.architecture)},
            {"size", Variant(image.size)},       {"labels", Variant(image.labels)},
            {"imported", Variant(image.imported)}, {"state", Variant(std::string(image.admitted ? "admitted" : "imported"))}};
}

Values row(const BackendStatus& backend) {
    return {{"name", Variant(backend.name)},
            {"plugin", Variant(backend.plugin)},
            {"state", Variant(std::string(name(backend.state)))},
            {"detail", Variant(backend.detail)},
            {"targets", Variant(static_cast<std::uint32_t>(backend.targets))},
            {"object", Variant(sdbus::ObjectPath(backendPath(backend.name)))}};
}

Values row(const PolicyInfo& policy) {
    Values values{{"name", Variant(policy.name)}, {"description", Variant(policy.description)}, {"path", Variant(policy.path)}};
    if (!policy.problem.empty()) values["problem"] = Variant(policy.problem);
    return values;
}

Values row(const RunRecord& run) {
    const bool finished = run.state == RunState::Finished;
    return {{"id", Variant(run.id)},
            {"capsule", Variant(run.request.capsule)},
            {"target", Variant(run.target)},
            {"state", Variant(std::string(name(run.state)))},
            {"outcome", Variant(finished ? std::string(name(run.report.outcome)) : std::string())},
            {"exit-code", Variant(std::int32_t{run.report.exitCode})},
            {"escape", Variant(escape(run))},
            {"detail", Variant(run.report.detail)},
            {"started", Variant(run.started)},
            {"phases", Variant(phases(run.phases))}};
}

Values details(const RunRecord& run) {
    Values values = row(run);
    values["caller"] = Variant(run.request.caller.uid);
    values["args"] = Variant(run.request.args);
    if (run.plan != nullptr) {
        std::vector<std::string> narrowed;
        for (const auto& taken : run.plan->narrowed) narrowed.push_back(taken.policy + ": " + taken.what);
        values.merge(Values{{"argv", Variant(run.plan->argv)}, {"env", Variant(run.plan->env)}, {"image", Variant(run.plan->imageDigest)}, {"narrowed", Variant(narrowed)}});
    }
    if (run.state != RunState::Finished) return values;
    const RunReport& report = run.report;
    if (report.error != Errc::None) values["error"] = Variant("org.recap1.Error." + std::string(name(report.error)));
    values.merge(Values{{"left", Variant(report.left)},
                        {"cpu-usec", Variant(report.cpuUsec)},
                        {"memory-peak", Variant(report.memoryPeak)},
                        {"pids-peak", Variant(report.pidsPeak)},
                        {"log-bytes", Variant(report.logBytes)},
                        {"oom", Variant(report.outOfMemory)},
                        {"log-truncated", Variant(report.logTruncated)},
                        {"artifacts", Variant(report.hasArtifacts)},
                        {"unenforced-limits", Variant(report.unenforcedLimits)},
                        {"omitted-mounts", Variant(report.omittedMounts)}});
    return values;
}

Values details(const RunPlan& plan) {
    const SandboxSpec& sandbox = plan.sandbox;
    std::vector<std::string> narrowed;
    for (const auto& taken : plan.narrowed) narrowed.push_back(taken.policy + ": " + taken.what);
    return {{"capsule", Variant(plan.request.capsule)},
            {"target", Variant(plan.target.id.text())},
            {"target-name", Variant(plan.target.name)},
            {"image", Variant(plan.imageDigest)},
            {"executable", Variant(plan.executable)},
            {"argv", Variant(plan.argv)},
            {"env", Variant(plan.env)},
            {"workdir", Variant(plan.workdir)},
            {"uid", Variant(plan.uid)},
            {"gid", Variant(plan.gid)},
            {"namespaces", Variant(namespaceNames(sandbox.namespaces))},
            {"capabilities", Variant(capabilityNames(sandbox.capabilities))},
            {"processes", Variant(label(kProcesses, sandbox.processes))},
            {"view", Variant(label(kViews, sandbox.view))},
            {"user", Variant(label(kUsers, sandbox.user))},
            {"writes", Variant(sandbox.writes)},
            {"memory", Variant(sandbox.limits.memory)},
            {"cpu-milli", Variant(sandbox.limits.cpuMilli)},
            {"pids", Variant(sandbox.limits.pids)},
            {"scratch", Variant(sandbox.limits.scratch)},
            {"timeout", Variant(static_cast<std::uint64_t>(sandbox.limits.timeout.count()))},
            {"artifacts", Variant(plan.artifacts)},
            {"artifacts-max", Variant(sandbox.artifactsMax)},
            {"log-max", Variant(sandbox.logMax)},
            {"freeze", Variant(sandbox.freeze)},
            {"syscalls", Variant(std::vector<std::string>(sandbox.syscalls.begin(), sandbox.syscalls.end()))},
            {"on-violation", Variant(label(kViolations, sandbox.onViolation))},
            {"narrowed", Variant(narrowed)}};
}

}  // namespace recap::bus
