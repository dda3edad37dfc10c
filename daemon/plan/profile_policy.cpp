// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/profile_policy.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/plan/words.hpp"
#include "sdk/manifest/capabilities.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

// One narrowing of one sandbox: each step takes away from `to` and says so.
class Taker {
public:
    Taker(const manifest::Profile& profile, const std::set<std::string>& syscalls, Narrowed& to)
        : profile_(profile), most_(syscalls), to_(to) {}

    void takeAll() {
        takeProcesses();
        takeNamespaces();
        takeView();
        takeCapabilities();
        if (sandbox().freeze && !profile_.freeze) {
            sandbox().freeze = false;
            say("freeze: the target is not frozen");
        }
        takeViolation();
        takeSyscalls();
        takeLimits();
    }

private:
    static constexpr std::uint32_t kPid = 1;

    SandboxSpec& sandbox() { return to_.sandbox; }
    void say(std::string what) { to_.taken.push_back({profile_.name, std::move(what)}); }

    void takeProcesses() {
        auto& processes = sandbox().processes;
        const Processes before = processes;
        const bool joins = (profile_.processes >> static_cast<unsigned>(Processes::Join) & 1) && (profile_.namespaces & kPid);
        const bool observes = profile_.processes >> static_cast<unsigned>(Processes::Observe) & 1;
        if (processes == Processes::Join && !joins) processes = Processes::Observe;
        if (processes == Processes::Observe && !observes) processes = Processes::None;
        if (processes != Processes::Join) sandbox().namespaces &= ~kPid;
        if (processes != before) say("processes: " + std::string(word(before)) + " narrowed to " + std::string(word(processes)));
    }

    void takeNamespaces() {
        const std::uint32_t refused = sandbox().namespaces & ~profile_.namespaces;
        if (!refused) return;
        sandbox().namespaces &= profile_.namespaces;
        say("namespaces: " + join(namespaceWords(refused)) + " not joined");
    }

    bool allows(View view) const { return profile_.views >> static_cast<unsigned>(view) & 1; }

    void takeView() {
        auto& view = sandbox().view;
        const View before = view;
        if (!allows(view)) view = allows(View::ReadOnly) && before != View::ReadOnly ? View::ReadOnly : View::None;
        if (view != before) say("view: " + std::string(word(before)) + " narrowed to " + std::string(word(view)));
        auto& writes = sandbox().writes;
        if (view != View::Write) writes.clear();
        const auto refused = std::stable_partition(writes.begin(), writes.end(), [&](const auto& path) { return writable(path); });
        if (refused != writes.end()) say("writes: " + join({refused, writes.end()}) + " not writable");
        writes.erase(refused, writes.end());
    }

    bool writable(const std::string& path) const {
        return std::any_of(profile_.writes.begin(), profile_.writes.end(),
                           [&](const auto& top) { return top == "/" || path == top || path.starts_with(top + "/"); });
    }

    void takeCapabilities() {
        const std::uint64_t refused = sandbox().capabilities & ~profile_.capabilities;
        if (!refused) return;
        sandbox().capabilities &= profile_.capabilities;
        say("capabilities: " + join(manifest::capabilityNames(refused)) + " not given");
    }

    // The next stricter one that is allowed; "kill" is stricter than all, hence always allowed.
    void takeViolation() {
        auto& action = sandbox().onViolation;
        const OnViolation before = action;
        const auto allowed = [&](OnViolation one) {
            return one == OnViolation::Kill || (profile_.onViolation >> static_cast<unsigned>(one) & 1);
        };
        if (!allowed(action)) action = action == OnViolation::Log && allowed(OnViolation::Errno) ? OnViolation::Errno : OnViolation::Kill;
        if (action != before) say("on-violation: " + std::string(word(before)) + " narrowed to " + std::string(word(action)));
    }

    void takeSyscalls() {
        std::vector<std::string> refused;
        auto& syscalls = sandbox().syscalls;
        std::set_difference(syscalls.begin(), syscalls.end(), most_.begin(), most_.end(), std::back_inserter(refused));
        if (refused.empty()) return;
        for (const auto& name : refused) syscalls.erase(name);
        constexpr std::size_t kShown = 8;
        const std::size_t more = refused.size() > kShown ? refused.size() - kShown : 0;
        refused.resize(refused.size() - more);
        say("syscalls: " + join(refused) + (more ? " and " + std::to_string(more) + " more" : "") + " not allowed");
    }

    template <class T, class Format>
    void most(std::string_view what, T& value, T limit, Format format) {
        if (value <= limit) return;
        say(std::string(what) + ": " + format(value) + " narrowed to " + format(limit));
        value = limit;
    }

    void takeLimits() {
        auto& limits = sandbox().limits;
        const auto& max = profile_.max;
        const auto count = [](auto value) { return std::to_string(value); };
        most("memory", limits.memory, max.memory, manifest::formatSize);
        most("cpu", limits.cpuMilli, max.cpuMilli, formatCpu);
        most("pids", limits.pids, max.pids, count);
        most("scratch", limits.scratch, max.scratch, manifest::formatSize);
        most("timeout", limits.timeout, max.timeout, manifest::formatDuration);
        most("artifacts", sandbox().artifactsMax, profile_.maxArtifacts, manifest::formatSize);
        most("log", sandbox().logMax, max.log, manifest::formatSize);
    }

    const manifest::Profile& profile_;
    const std::set<std::string>& most_;
    Narrowed& to_;
};

std::string allowedUsers(const manifest::Profile& profile) {
    std::vector<std::string> words;
    if (profile.targetUser) words.push_back("\"target\"");
    if (profile.rootUser) words.push_back("\"root\"");
    if (profile.otherUsers) words.push_back("\"UID:GID\" other than 0");
    return join(words);
}

// Another identity is not less of one: a user that is not allowed is refused, never replaced.
Result<void> checkUser(const manifest::Profile& profile, const SandboxSpec& asked) {
    const bool root = asked.user == UserKind::Root || (asked.user == UserKind::Ids && (asked.uid == 0 || asked.gid == 0));
    const bool allowed = asked.user == UserKind::Target ? profile.targetUser : root ? profile.rootUser : profile.otherUsers;
    if (allowed) return {};
    return fail(Errc::Denied, "user " + describeUser(asked) + " is not allowed; allowed are " + allowedUsers(profile));
}

Limits limitsOf(const manifest::Limits& asked, const manifest::ProfileLimits& defaults) {
    return {asked.memory.value_or(defaults.memory),
            asked.cpu ? static_cast<std::uint32_t>(std::lround(*asked.cpu * 1000)) : defaults.cpuMilli, asked.pids.value_or(defaults.pids),
            asked.scratch.value_or(defaults.scratch), asked.timeout.value_or(defaults.timeout)};
}

}  // namespace

Result<std::shared_ptr<const ProfilePolicy>> ProfilePolicy::make(manifest::Profile profile, const SyscallTable& table) {
    std::shared_ptr<ProfilePolicy> policy(new ProfilePolicy(std::move(profile)));
    auto usual = table.expand(policy->profile_.syscalls, table.launchSet());
    if (!usual) return forward(std::move(usual), "syscalls");
    auto most = table.expand(policy->profile_.most, *usual);
    if (!most) return forward(std::move(most), "syscalls.max");
    if (!policy->profile_.most.groups.empty()) most->insert(usual->begin(), usual->end());
    policy->syscalls_ = std::move(*usual);
    policy->most_ = std::move(*most);
    return std::shared_ptr<const ProfilePolicy>(std::move(policy));
}

Result<Narrowed> ProfilePolicy::narrow(SandboxSpec asked) const {
    if (auto user = checkUser(profile_, asked); !user) return forward(std::move(user));
    Narrowed result{std::move(asked), {}};
    Taker(profile_, most_, result).takeAll();
    return result;
}

Result<SandboxSpec> ProfilePolicy::asked(const manifest::Manifest& manifest, const SyscallTable& table) const {
    const auto& from = manifest.sandbox;
    SandboxSpec spec;
    spec.namespaces = from.namespaces;
    spec.processes = static_cast<Processes>(from.processes);
    spec.view = static_cast<View>(from.view);
    spec.writes = from.writes;
    spec.user = static_cast<UserKind>(from.user.kind);
    spec.uid = from.user.uid;
    spec.gid = from.user.gid;
    for (const auto& capability : from.capabilities)
        if (const auto number = manifest::capabilityNumber(capability)) spec.capabilities |= std::uint64_t{1} << *number;
    spec.freeze = from.freeze;
    auto syscalls = table.expand(from.syscalls, syscalls_);
    if (!syscalls) return forward(std::move(syscalls), "sandbox.syscalls");
    spec.syscalls = std::move(*syscalls);
    spec.onViolation = static_cast<OnViolation>(from.syscalls.onViolation.value_or(*profile_.syscalls.onViolation));
    spec.limits = limitsOf(manifest.limits, profile_.limits);
    spec.artifactsMax = manifest.output.artifacts.empty() ? 0 : manifest.output.maxSize;
    spec.logMax = profile_.limits.log;
    return spec;
}

}  // namespace recap::plan
