// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/words.hpp"

#include "daemon/core/host.hpp"
#include "sdk/manifest/capabilities.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

std::string describeProcesses(Processes processes) {
    if (processes == Processes::Observe) return "sees the target's processes, read-only; they can't see or signal it";
    if (processes == Processes::Join)
        return "joins the target's processes, and can signal and trace them as far as its rights go; they can see it";
    return "sees no process of the target";
}

std::string describeView(const SandboxSpec& sandbox) {
    if (sandbox.view == View::ReadOnly) return "sees the target's files at /target, read-only";
    if (sandbox.view == View::Merged) return "sees the target's files below its own; what it writes is dropped at the end";
    if (sandbox.view == View::Write) return "sees the target's files at /target, and may write " + join(sandbox.writes);
    return "sees no file of the target";
}

std::string describeSyscalls(const SandboxSpec& sandbox) {
    const std::string count = "may make " + std::to_string(sandbox.syscalls.size()) + " system calls; another one ";
    if (sandbox.onViolation == OnViolation::Kill) return count + "ends it";
    return count + (sandbox.onViolation == OnViolation::Log ? "is noted by the kernel and goes on" : "fails with EPERM");
}

std::string describeLimits(const SandboxSpec& sandbox) {
    const auto& limits = sandbox.limits;
    return "gets at most " + manifest::formatSize(limits.memory) + " of memory, " + formatCpu(limits.cpuMilli) + " CPUs, " +
           std::to_string(limits.pids) + " processes, " + manifest::formatSize(limits.scratch) + " of scratch space and " +
           manifest::formatDuration(limits.timeout) + " of time";
}

}  // namespace

std::string_view word(Processes processes) {
    constexpr std::string_view words[] = {"none", "observe", "join"};
    return words[static_cast<std::size_t>(processes)];
}

std::string_view word(View view) {
    constexpr std::string_view words[] = {"none", "read-only", "merged", "write"};
    return words[static_cast<std::size_t>(view)];
}

std::string_view word(OnViolation action) {
    constexpr std::string_view words[] = {"errno", "kill", "log"};
    return words[static_cast<std::size_t>(action)];
}

std::vector<std::string> namespaceWords(std::uint32_t bits) {
    std::vector<std::string> result;
    for (std::size_t bit = 0; bit < kNamespaceWords.size(); ++bit)
        if (bits >> bit & 1) result.emplace_back(kNamespaceWords[bit]);
    return result;
}

std::string describeUser(const SandboxSpec& sandbox) {
    if (sandbox.user == UserKind::Target) return "\"target\"";
    if (sandbox.user == UserKind::Root) return "\"root\"";
    return std::to_string(sandbox.uid) + ":" + std::to_string(sandbox.gid);
}

std::string formatCpu(std::uint32_t milli) {
    std::string rest = std::to_string(milli % 1000 + 1000).substr(1);
    rest.erase(rest.find_last_not_of('0') + 1);
    return std::to_string(milli / 1000) + (rest.empty() ? "" : "." + rest);
}

std::string join(const std::vector<std::string>& words) {
    std::string result;
    for (const auto& one : words) result += (result.empty() ? "" : ", ") + one;
    return result;
}

std::vector<std::string> describe(const RunPlan& plan) {
    const auto& sandbox = plan.sandbox;
    std::vector<std::string> result;
    result.push_back("runs " + plan.executable + " of image " + plan.imageDigest.substr(0, 12) + " on " + plan.target.id.text());
    const auto joined = namespaceWords(sandbox.namespaces);
    result.push_back(joined.empty() ? "joins no namespace of the target" : "joins the target's namespaces: " + join(joined));
    if (const auto host = hostNamespaces(sandbox, plan.target))
        result.push_back("has to do with the host's own namespaces: " + join(namespaceWords(host)) +
                         "; it reaches no abstract socket of others there, and looks into no process");
    result.push_back(describeProcesses(sandbox.processes));
    if (targetMayTrace(plan)) result.emplace_back("the target may trace it: its word is not to be trusted");
    result.push_back(describeView(sandbox));
    result.push_back("runs as uid " + std::to_string(plan.uid) + ", gid " + std::to_string(plan.gid) + " (user = " + describeUser(sandbox) +
                     ")");
    const auto capabilities = manifest::capabilityNames(sandbox.capabilities);
    result.push_back(capabilities.empty() ? "holds no capability" : "holds " + join(capabilities));
    result.push_back(describeSyscalls(sandbox));
    result.push_back(describeLimits(sandbox));
    if (plan.tty) result.emplace_back("has a terminal of its own");
    if (sandbox.freeze) result.push_back("freezes the target while it runs");
    if (!plan.artifacts.empty())
        result.push_back("leaves artifacts: up to " + manifest::formatSize(sandbox.artifactsMax) + " from " + plan.artifacts);
    for (const auto& taken : plan.narrowed) result.push_back("narrowed by " + taken.policy + ": " + taken.what);
    return result;
}

}  // namespace recap::plan
