// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/rows.hpp"

#include <array>

#include "daemon/core/host.hpp"

namespace recap::bus {
namespace {

// capability(7), by number.
// clang-format off
constexpr std::array kCapabilities{
    "CAP_CHOWN",           "CAP_DAC_OVERRIDE",   "CAP_DAC_READ_SEARCH", "CAP_FOWNER",       "CAP_FSETID",      "CAP_KILL",          "CAP_SETGID",
    "CAP_SETUID",          "CAP_SETPCAP",        "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
    "CAP_IPC_LOCK",        "CAP_IPC_OWNER",      "CAP_SYS_MODULE",      "CAP_SYS_RAWIO",    "CAP_SYS_CHROOT",  "CAP_SYS_PTRACE",    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",       "CAP_SYS_BOOT",       "CAP_SYS_NICE",        "CAP_SYS_RESOURCE", "CAP_SYS_TIME",    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
    "CAP_LEASE",           "CAP_AUDIT_WRITE",    "CAP_AUDIT_CONTROL",   "CAP_SETFCAP",      "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN",    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",      "CAP_BLOCK_SUSPEND",  "CAP_AUDIT_READ",      "CAP_PERFMON",      "CAP_BPF",         "CAP_CHECKPOINT_RESTORE"};
// clang-format on
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

Cell::Cell(const std::vector<std::string>& texts) : value(busText(texts)), bytes(16) {
    for (const auto& text : texts) bytes += text.size() + 8;
}

Cell::Cell(const std::map<std::string, std::string>& texts) : value(busText(texts)), bytes(16) {
    for (const auto& [key, text] : texts) bytes += key.size() + text.size() + 24;
}

bool Listing::add(Row row) {
    full_ = full_ || bytes_ + row.bytes() > kMaxReply;
    if (full_) return false;
    bytes_ += row.bytes();
    rows_.push_back(std::move(row).take());
    return true;
}

Result<Rows> Listing::whole() && {
    if (full_)
        return fail(Errc::LimitExceeded, "the list is over " + std::to_string(kMaxReply) +
                                             " bytes, and one reply carries no more; where there is a filter, it helps");
    return std::move(rows_);
}

Result<Values> whole(Row row) {
    if (row.bytes() > kMaxReply)
        return fail(Errc::LimitExceeded,
                    "what there is to tell is over " + std::to_string(kMaxReply) + " bytes, and one reply carries no more");
    return std::move(row).take();
}

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

Result<void> checkSize(std::uint64_t rows, std::uint64_t columns) {
    if (rows <= UINT16_MAX && columns <= UINT16_MAX) return {};
    return fail(Errc::InvalidArgument,
                "a terminal of " + std::to_string(rows) + " rows and " + std::to_string(columns) + " columns; 65535 is the most of each");
}

std::string runPath(const RunId& id) { return "/org/recap1/run/" + id; }
std::string batchPath(const BatchId& id) { return "/org/recap1/batch/" + id; }
std::string capsulePath(const std::string& name) { return "/org/recap1/capsule/" + encode(name); }
std::string backendPath(const std::string& name) { return "/org/recap1/backend/" + encode(name); }

std::map<std::string, std::uint64_t> phases(const Phases& phases) {
    std::map<std::string, std::uint64_t> reached;
    for (const auto& [name, time] : {std::pair{"received", phases.received},
                                     {"planned", phases.planned},
                                     {"attached", phases.attached},
                                     {"executing", phases.executing},
                                     {"finished", phases.finished},
                                     {"escaped", phases.escaped}}) {
        if (time != 0) reached[name] = time;
    }
    return reached;
}

Row row(const Target& target) {
    return {{"target", target.id.text()},
            {"backend", target.id.backend},
            {"id", target.id.id},
            {"name", target.name},
            {"image", target.image},
            {"runtime", target.runtime},
            {"state", label(kTargetStates, target.state)},
            {"pid", static_cast<std::uint32_t>(target.pid)},
            {"labels", target.labels.unpacked()},
            {"aliases", target.aliases},
            {"details", target.details.unpacked()},
            {"tenant", target.tenant}};
}

Row row(const CapsuleInfo& capsule, const Image* image, const CapsuleHealth& health) {
    Row values{{"name", capsule.name}, {"path", capsule.path}};
    if (!capsule.problem.empty()) values.set("problem", capsule.problem);
    if (!capsule.problem.empty() && capsule.image.empty()) return values;
    values.set({{"version", capsule.version},
                {"description", capsule.description},
                {"image", capsule.image},
                {"command", capsule.command},
                {"namespaces", capsule.namespaces},
                {"capabilities", capsule.capabilities},
                {"processes", capsule.processes},
                {"view", capsule.view},
                {"user", capsule.user},
                {"policy", capsule.policy},
                {"reason", capsule.reason},
                {"adjustable", capsule.adjustable},
                {"tty", capsule.tty},
                {"enabled", capsule.enabled},
                {"privileged", privileged(capsule)},
                {"admitted", image != nullptr && image->admitted},
                {"failures", health.failures},
                {"object", sdbus::ObjectPath(capsulePath(capsule.name))}});
    if (health.backedOffUntil != 0) values.set("backed-off-until", health.backedOffUntil);
    if (image != nullptr) values.set("digest", image->digest);
    return values;
}

Row row(const Image& image) {
    return {{"digest", image.digest},     {"references", image.references},
            {"layers", image.layers},     {"architecture", image.architecture},
            {"size", image.size},         {"labels", image.labels},
            {"imported", image.imported}, {"state", std::string(image.admitted ? "admitted" : "imported")}};
}

Row row(const BackendStatus& backend) {
    return {{"name", backend.name},
            {"plugin", backend.plugin},
            {"state", std::string(name(backend.state))},
            {"detail", backend.detail},
            {"targets", static_cast<std::uint32_t>(backend.targets)},
            {"object", sdbus::ObjectPath(backendPath(backend.name))}};
}

Row row(const PolicyInfo& policy) {
    Row values{{"name", policy.name}, {"description", policy.description}, {"path", policy.path}};
    if (!policy.problem.empty()) values.set("problem", policy.problem);
    return values;
}

Row row(const RunRecord& run) {
    const bool finished = run.state == RunState::Finished;
    return {{"id", run.id},
            {"capsule", run.request.capsule},
            {"target", run.target},
            {"state", std::string(name(run.state))},
            {"outcome", finished ? std::string(name(run.report.outcome)) : std::string()},
            {"exit-code", std::int32_t{run.report.exitCode}},
            {"escape", escape(run)},
            {"detail", busSentence(run.report.detail)},
            {"untrusted", run.untrusted},
            {"trigger", std::string(name(run.request.trigger))},
            {"event", run.request.occurrence ? run.request.occurrence->on : std::string()},
            {"batch", run.request.batch},
            {"started", run.started},
            {"phases", phases(run.phases)}};
}

Row row(const BatchRow& batch) {
    const bool finished = batch.state == RunState::Finished;
    return {{"target", batch.target.text()},
            {"name", batch.name},
            {"run", batch.run},
            {"state", std::string(name(batch.state))},
            {"outcome", finished ? std::string(name(batch.outcome)) : std::string()},
            {"exit-code", std::int32_t{batch.exitCode}},
            {"escape", batch.escape},
            {"detail", busSentence(batch.detail)}};
}

Row details(const RunRecord& run) {
    Row values = row(run);
    values.set("caller", run.request.caller.uid);
    values.set("args", run.request.args);
    values.set("tty", run.tty);
    if (run.plan != nullptr) {
        std::vector<std::string> narrowed;
        for (const auto& taken : run.plan->narrowed) narrowed.push_back(taken.policy + ": " + taken.what);
        values.set({{"argv", run.plan->argv}, {"env", run.plan->env}, {"image", run.plan->imageDigest}, {"narrowed", narrowed}});
        values.set("view", label(kViews, run.plan->sandbox.view));
    }
    if (run.state != RunState::Finished) return values;
    const RunReport& report = run.report;
    if (report.error != Errc::None) values.set("error", "org.recap1.Error." + std::string(name(report.error)));
    values.set({{"left", report.left},
                {"cpu-usec", report.cpuUsec},
                {"cpu-system-usec", report.cpuSystemUsec},
                {"log-bytes", report.logBytes},
                {"oom", report.outOfMemory},
                {"log-truncated", report.logTruncated},
                {"artifacts", report.hasArtifacts},
                {"unenforced-limits", report.unenforcedLimits},
                {"omitted-mounts", report.omittedMounts},
                {"written", report.written}});
    // No process is without memory: 0 is what this kernel does not count, and is not to be shown as counted.
    if (report.memoryPeak != 0) values.set("memory-peak", report.memoryPeak);
    if (report.pidsPeak != 0) values.set("pids-peak", report.pidsPeak);
    return values;
}

Row details(const RunPlan& plan) {
    const SandboxSpec& sandbox = plan.sandbox;
    std::vector<std::string> narrowed;
    narrowed.reserve(plan.narrowed.size());
    for (const auto& taken : plan.narrowed) narrowed.push_back(taken.policy + ": " + taken.what);
    return {{"capsule", plan.request.capsule},
            {"target", plan.target.id.text()},
            {"target-name", plan.target.name},
            {"image", plan.imageDigest},
            {"executable", plan.executable},
            {"argv", plan.argv},
            {"env", plan.env},
            {"workdir", plan.workdir},
            {"uid", plan.uid},
            {"gid", plan.gid},
            {"namespaces", namespaceNames(sandbox.namespaces)},
            {"host-namespaces", namespaceNames(hostNamespaces(sandbox, plan.target))},
            {"capabilities", capabilityNames(sandbox.capabilities)},
            {"processes", label(kProcesses, sandbox.processes)},
            {"untrusted", targetMayTrace(plan)},
            {"view", label(kViews, sandbox.view)},
            {"user", label(kUsers, sandbox.user)},
            {"writes", sandbox.writes},
            {"memory", sandbox.limits.memory},
            {"cpu-milli", sandbox.limits.cpuMilli},
            {"pids", sandbox.limits.pids},
            {"scratch", sandbox.limits.scratch},
            {"timeout", static_cast<std::uint64_t>(sandbox.limits.timeout.count())},
            {"artifacts", plan.artifacts},
            {"artifacts-max", sandbox.artifactsMax},
            {"log-max", sandbox.logMax},
            {"freeze", sandbox.freeze},
            {"tty", plan.tty},
            {"syscalls", std::vector<std::string>(sandbox.syscalls.begin(), sandbox.syscalls.end())},
            {"on-violation", label(kViolations, sandbox.onViolation)},
            {"narrowed", narrowed}};
}

}  // namespace recap::bus
