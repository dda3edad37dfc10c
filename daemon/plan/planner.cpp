// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/planner.hpp"

#include <time.h>

#include <algorithm>
#include <tuple>

#include "daemon/plan/adjust.hpp"
#include "daemon/plan/checks.hpp"
#include "daemon/plan/command.hpp"
#include "daemon/plan/narrow.hpp"
#include "daemon/plan/words.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

std::uint64_t monotonicUsec() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

constexpr std::uint32_t kUser = 16;

// A manifest's ids are those of the user namespace that the capsule will be in; a plan's are the host's.
Result<std::uint32_t> onHost(const char* kind, std::uint32_t id, const std::vector<IdRange>& map) {
    for (const auto& range : map)
        if (id >= range.inside && id - range.inside < range.count) return range.outside + (id - range.inside);
    return fail(Errc::InvalidArgument, std::string(kind) + " " + std::to_string(id) + " does not exist in the target's user namespace");
}

Result<void> resolveUser(const SandboxSpec& sandbox, const TargetFacts& facts, RunPlan& plan) {
    if (sandbox.user == UserKind::Target) {
        plan.uid = facts.uid;
        plan.gid = facts.gid;
        plan.groups = facts.groups;
        return {};
    }
    plan.uid = sandbox.user == UserKind::Ids ? sandbox.uid : 0;
    plan.gid = sandbox.user == UserKind::Ids ? sandbox.gid : 0;
    if ((sandbox.namespaces & kUser) == 0) return {};
    auto uid = onHost("uid", plan.uid, facts.uidMap);
    if (!uid) return forward(std::move(uid));
    auto gid = onHost("gid", plan.gid, facts.gidMap);
    if (!gid) return forward(std::move(gid));
    plan.uid = *uid;
    plan.gid = *gid;
    return {};
}

// A manifest's word is for who gives no descriptors: a pipe carries bytes as they are, a terminal does not.
bool wantsTerminal(const manifest::Manifest& manifest, const RunRequest& request) {
    const bool given = std::ranges::any_of(request.stdio, [](const auto& fd) { return fd != nullptr; });
    return request.tty.value_or(manifest.tty && !given && !request.openStdin);
}

// A caller can only shorten.
void limitTime(const RunRequest& request, RunPlan& plan) {
    auto& timeout = plan.sandbox.limits.timeout;
    if (request.timeout.count() <= 0) return;
    if (request.timeout <= timeout)
        timeout = request.timeout;
    else
        plan.narrowed.push_back({"capsule", "timeout: the caller's " + manifest::formatDuration(request.timeout) + " narrowed to " +
                                                manifest::formatDuration(timeout)});
}

}  // namespace

void CapsulePlanner::configure(Settings settings) {
    settings_ = std::move(settings);
    prepared_.clear();
}

Result<CapsulePlanner::Prepared> CapsulePlanner::prepareNow(const manifest::Manifest& manifest) {
    auto profile = policies_.find(manifest.sandbox.policy);
    if (!profile) return forward(std::move(profile), "capsule '" + manifest.name + "'");
    auto asked = (*profile)->asked(manifest, table_);
    if (!asked) return forward(std::move(asked), "capsule '" + manifest.name + "'");
    std::vector<std::shared_ptr<const ProfilePolicy>> kept{*profile};
    for (const auto& name : settings_.policies) {
        auto further = policies_.find(name);
        if (!further) return forward(std::move(further), "policies of recapd.toml");
        kept.push_back(*further);
    }
    std::vector<const Policy*> policies;
    for (const auto& policy : kept) policies.push_back(policy.get());
    auto narrowed = narrowAll(std::move(*asked), policies);
    if (!narrowed) return forward(std::move(narrowed));
    auto filter = filters_.get(narrowed->sandbox.syscalls, narrowed->sandbox.onViolation);
    if (!filter) return forward(std::move(filter));
    return Prepared{0, 0, std::move(*narrowed), std::move(*filter)};
}

Result<const CapsulePlanner::Prepared*> CapsulePlanner::prepare(const CapsuleInfo& capsule, const manifest::Manifest& manifest) {
    auto& prepared = prepared_[capsule.name];
    if (prepared.filter && prepared.revision == capsule.revision && prepared.generation == policies_.generation()) return &prepared;
    auto fresh = prepareNow(manifest);
    if (!fresh) return forward(std::move(fresh));
    prepared = std::move(*fresh);
    prepared.revision = capsule.revision;
    prepared.generation = policies_.generation();
    return &prepared;
}

const std::vector<std::string>& CapsulePlanner::runtimesOf(const std::string& backend) const {
    static const std::vector<std::string> none;
    const auto found = std::ranges::find(settings_.plugins, backend, &PluginSetting::name);
    return found == settings_.plugins.end() ? none : found->runtimes;
}

Result<const CapsulePlanner::Prepared*> CapsulePlanner::prepareAdjusted(const manifest::Manifest& manifest) {
    auto fresh = prepareNow(manifest);
    if (!fresh) return forward(std::move(fresh));
    adjusted_ = std::move(*fresh);
    return &adjusted_;
}

void CapsulePlanner::warm() {
    std::erase_if(prepared_, [&](const auto& entry) { return !capsules_.find(entry.first); });
    for (const CapsuleInfo* capsule : capsules_.list())
        if (const auto manifest = capsules_.manifest(capsule->name)) std::ignore = prepare(*capsule, **manifest);
}

Result<RunPlan> CapsulePlanner::plan(const RunId& id, const RunRequest& request, const Target& target) {
    const auto info = capsules_.find(request.capsule);
    if (!info) return tl::unexpected(info.error());
    auto manifest = *capsules_.manifest(request.capsule);
    const bool adjusts = request.adjustments.any();
    if (adjusts) {
        auto adjusted = adjust(*manifest, request.adjustments);
        if (!adjusted) return forward(std::move(adjusted));
        manifest = std::make_shared<const manifest::Manifest>(std::move(*adjusted));
    }
    if (auto right = checkRequest(*manifest, request, target); !right) return forward(std::move(right));
    const std::string tenant = settings_.tenants.of(target);
    if (auto own = settings_.tenants.check(request.caller.uid, tenant, "target " + target.id.text()); !own) return forward(std::move(own));
    if (auto runtime = checkRuntime(target, runtimesOf(target.id.backend)); !runtime) return forward(std::move(runtime));
    auto image = findImage(images_, *manifest);
    if (!image) return forward(std::move(image));
    auto prepared = adjusts ? prepareAdjusted(*manifest) : prepare(**info, *manifest);
    if (!prepared) return forward(std::move(prepared));
    const auto& [sandbox, taken] = (*prepared)->narrowed;
    if (auto known = checkSupported(*manifest); !known) return forward(std::move(known));
    if (auto own = checkHost(sandbox, target, bounds_ ? bounds_() : HostBounds()); !own) return forward(std::move(own));
    if (auto merged = checkMerged(sandbox, target); !merged) return forward(std::move(merged));

    RunPlan plan;
    plan.id = id;
    plan.request = request;
    plan.target = target;
    plan.tenant = tenant;
    plan.sandbox = sandbox;
    plan.narrowed = taken;
    plan.imageDigest = (*image)->digest;
    plan.layers = (*image)->layers;
    plan.filter = *(*prepared)->filter;
    plan.artifacts = manifest->output.artifacts;
    plan.artifactsOnDisk = manifest->output.storage == manifest::Storage::Disk;
    plan.tty = wantsTerminal(*manifest, request);
    plan.artifactsKeep = manifest->output.keep;
    plan.grace = settings_.grace;
    if (auto user = resolveUser(sandbox, *target.facts, plan); !user) return forward(std::move(user));
    if (auto own = checkHostUser(plan); !own) return forward(std::move(own));
    limitTime(request, plan);
    if (auto command = planCommand(*manifest, **image, plan); !command) return forward(std::move(command));
    plan.planned = monotonicUsec();
    return plan;
}

std::vector<std::string> CapsulePlanner::describe(const RunPlan& plan) const { return plan::describe(plan); }

}  // namespace recap::plan
