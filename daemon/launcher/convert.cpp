// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "daemon/launcher/client.hpp"

namespace recap {

namespace {

constexpr bool same(std::uint64_t ours, std::uint64_t theirs) { return ours == theirs; }
static_assert(same(kCanObserve, launcher::kFeatureObserve) && same(kCanLayer, launcher::kFeatureLayers) &&
              same(kCanClonePlaced, launcher::kFeatureIntoCgroup) && same(kCanKillCgroup, launcher::kFeatureCgroupKill) &&
              same(kCanLimit, launcher::kFeatureLimits) && same(kCanObserveByVisit, launcher::kFeatureObserveByVisit) &&
              same(kCanLayerByName, launcher::kFeatureLayersByName) && same(kCanTellMemoryPeak, launcher::kFeatureMemoryPeak) &&
              same(kCanTellPidsPeak, launcher::kFeaturePidsPeak) && same(kCanScopeSockets, launcher::kFeatureScope));
template <class Ours, class Theirs>
constexpr bool alike(Ours ours, Theirs theirs) {
    return static_cast<int>(ours) == static_cast<int>(theirs);
}
static_assert(alike(WatchKind::File, launcher::WatchKind::File) && alike(WatchKind::Oom, launcher::WatchKind::Oom) &&
              alike(PressureOf::Io, launcher::Resource::Io) && alike(PressureOf::Memory, launcher::Resource::Memory) &&
              alike(WatchForm::Counter, launcher::WatchForm::Counter) && alike(WatchForm::Trigger, launcher::WatchForm::Trigger) &&
              alike(WatchForm::Changes, launcher::WatchForm::Changes));

std::uint64_t usec(std::chrono::microseconds time) { return static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)); }

void setSandbox(const SandboxSpec& sandbox, launcher::Plan& wire) {
    wire.namespaces = sandbox.namespaces;
    wire.processes = static_cast<launcher::Processes>(sandbox.processes);
    wire.view = static_cast<launcher::View>(sandbox.view);
    wire.writes = sandbox.writes;
    wire.freeze = sandbox.freeze;
    wire.capabilities = sandbox.capabilities;
    wire.timeoutUsec = usec(sandbox.limits.timeout);
    wire.limits = {sandbox.limits.memory, sandbox.limits.cpuMilli, sandbox.limits.pids, sandbox.limits.scratch};
    wire.logMax = sandbox.logMax;
}

// With a terminal what is given is attached to it.
void setStdio(const RunPlan& plan, launcher::Plan& wire) {
    const auto input = plan.request.openStdin ? launcher::Stdio::Pipe : launcher::Stdio::Null;
    for (std::size_t i = 0; i < 3; ++i) {
        const bool given = plan.request.stdio[i] && *plan.request.stdio[i];
        if (plan.tty && given) wire.attached = static_cast<std::uint8_t>(wire.attached | 1u << i);
        wire.stdio[i] = plan.tty ? launcher::Stdio::Terminal : given ? launcher::Stdio::Given : i == 0 ? input : launcher::Stdio::Log;
    }
    if (!plan.tty) return;
    wire.rows = plan.request.rows;
    wire.columns = plan.request.columns;
}

Outcome outcomeOf(const launcher::Report& report) {
    switch (report.end) {
        case launcher::End::Exited: return report.value == 0 ? Outcome::Succeeded : Outcome::Failed;
        case launcher::End::Signalled: return Outcome::Killed;
        case launcher::End::TimedOut: return Outcome::TimedOut;
        case launcher::End::Stopped: return Outcome::Killed;
        case launcher::End::TargetGone: return Outcome::TargetGone;
        case launcher::End::NotStarted: return Outcome::NotStarted;
    }
    return Outcome::Lost;
}

// Of a run that did not start.
Errc errorOf(const launcher::Report& report) {
    if (report.step != "executable" && report.step != "exec") return Errc::Io;
    return report.error == ENOENT ? Errc::NoCommand : Errc::NotExecutable;
}

std::string detailOf(const launcher::Report& report) {
    if (!report.message.empty()) return report.message;
    const char* reason = ::strerrordesc_np(report.error);
    switch (report.end) {
        case launcher::End::NotStarted:
            return "step '" + report.step + "' of the attach failed: " + (reason != nullptr ? reason : "unknown error");
        case launcher::End::TimedOut: return "the time limit was reached";
        case launcher::End::Stopped: return "stopped on request";
        case launcher::End::TargetGone: return "the target ended first";
        case launcher::End::Signalled:
            return report.outOfMemory ? "killed: its memory limit was reached" : "killed by signal " + std::to_string(report.value);
        case launcher::End::Exited: break;
    }
    return {};
}

}  // namespace

launcher::Plan toProtocol(const RunPlan& plan) {
    launcher::Plan wire;
    wire.runId = plan.id;
    setSandbox(plan.sandbox, wire);
    wire.graceUsec = usec(plan.grace);
    wire.callerUid = plan.request.caller.uid;
    if (plan.request.lifetime == Lifetime::Caller) wire.boundTo = plan.request.caller.busName;
    wire.capsule = plan.request.capsule;
    wire.target = plan.target.id.text();
    if (plan.target.facts) {
        wire.startTime = plan.target.facts->startTime;
        wire.cgroup = plan.target.facts->cgroup;
        wire.expected = plan.target.facts->namespaces;
    }
    wire.imageDigest = plan.imageDigest;
    wire.layers = plan.layers;
    wire.executable = plan.executable;
    wire.argv = plan.argv;
    wire.env = plan.env;
    wire.workdir = plan.workdir;
    wire.uid = plan.uid;
    wire.gid = plan.gid;
    wire.groups = plan.groups;
    wire.filter = plan.filter;
    wire.artifacts = plan.artifacts;
    wire.artifactsMax = plan.artifacts.empty() ? 0 : plan.sandbox.artifactsMax;
    wire.artifactsStorage = plan.artifactsOnDisk ? launcher::Storage::Disk : launcher::Storage::Memory;
    setStdio(plan, wire);
    return wire;
}

RunReport fromProtocol(const launcher::Report& wire) {
    RunReport report;
    report.id = wire.runId;
    report.outcome = outcomeOf(wire);
    report.exitCode = wire.end == launcher::End::Signalled ? 128 + wire.value : wire.value;
    report.error = wire.end == launcher::End::NotStarted ? errorOf(wire) : Errc::None;
    report.exitCode = wire.end == launcher::End::NotStarted ? shellStatus(report.error) : report.exitCode;
    report.detail = detailOf(wire);
    report.phases = {wire.received, 0, wire.attached, wire.executing, wire.finished, wire.escaped};
    report.left = wire.left;
    report.cpuUsec = wire.cpuUsec;
    report.cpuSystemUsec = wire.cpuSystemUsec;
    report.memoryPeak = wire.memoryPeak;
    report.pidsPeak = wire.pidsPeak;
    report.outOfMemory = wire.outOfMemory;
    report.logTruncated = wire.logTruncated;
    report.logBytes = wire.logBytes;
    report.hasArtifacts = wire.hasArtifacts;
    report.unenforcedLimits = wire.unenforcedLimits;
    report.omittedMounts = wire.omittedMounts;
    report.written = wire.written;
    return report;
}

TargetFacts fromProtocol(const launcher::TargetFacts& wire) {
    TargetFacts facts;
    facts.startTime = wire.startTime;
    facts.cgroup = wire.cgroup;
    facts.namespaces = wire.namespaces;
    facts.hostNamespaces = wire.hostNamespaces;
    facts.uid = wire.uid;
    facts.gid = wire.gid;
    facts.groups = wire.groups;
    facts.capBounding = wire.capBounding;
    facts.capEffective = wire.capEffective;
    facts.foreignMounts = wire.foreignMounts;
    for (const auto& range : wire.uidMap) facts.uidMap.push_back({range.inside, range.outside, range.count});
    for (const auto& range : wire.gidMap) facts.gidMap.push_back({range.inside, range.outside, range.count});
    return facts;
}

launcher::WatchRequest toProtocol(const Target& target, const WatchSpec& what) {
    launcher::WatchRequest request;
    request.target = target.id.text();
    request.startTime = target.startTime;
    if (target.facts) {
        request.startTime = target.facts->startTime;
        request.cgroup = target.facts->cgroup;
        request.mounts = target.facts->namespaces[launcher::kNamespaces - 1];
    }
    request.kind = static_cast<launcher::WatchKind>(what.kind);
    request.resource = static_cast<launcher::Resource>(what.resource);
    request.stallUsec = usec(what.stall);
    request.windowUsec = usec(what.window);
    request.path = what.path;
    return request;
}

}  // namespace recap
