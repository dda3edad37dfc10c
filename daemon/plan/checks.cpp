// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/checks.hpp"

#include <algorithm>
#include <array>

#include "daemon/plan/info.hpp"
#include "daemon/plan/words.hpp"
#include "sdk/manifest/capabilities.hpp"

namespace recap::plan {
namespace {

#if defined(__x86_64__)
constexpr std::string_view kArchitecture = "amd64";
#else
#error "seccomp programs and images are for x86_64 so far"
#endif

// Whose containers are processes of this kernel; the last ones are what backends say that see an engine's cgroup, or none, only.
constexpr std::array<std::string_view, 15> kRuntimes{"runc",          "crun",        "youki",  "nvidia",     "nvidia-cdi",
                                                     "nvidia-legacy", "sysbox-runc", "lxc",    "nspawn",     "process",
                                                     "container",     "docker",      "podman", "containerd", "cri-o"};
constexpr std::array<std::string_view, 7> kOtherKernels{"kata", "runsc", "gvisor", "firecracker", "kuasar", "krun", "hyperv"};

constexpr std::uint32_t kPid = 1, kNet = 2, kUser = 16, kCgroup = 32, kMnt = 128;

std::string label(const Target& target, const std::string& key) {
    const auto found = target.labels.find(key);
    return found == target.labels.end() ? "no label " + key : "label " + key + " = " + std::string(found->second);
}

Result<void> checkSelector(const manifest::Manifest& manifest, const Target& target) {
    for (const auto& term : selectionOf(manifest.target).labels)
        if (!matches(term, target))
            return fail(Errc::Denied, "target " + target.id.text() + " has " + label(target, term.key) + "; capsule '" + manifest.name +
                                          "' is for targets with " + text(term));
    return {};
}

Result<void> checkState(const Target& target) {
    if (target.state == TargetState::Stopped || target.pid <= 0)
        return fail(Errc::TargetGone, "target " + target.id.text() + " is not running");
    // Its processes would answer nothing, and a signal of ours would wait until somebody unpauses it.
    if (target.state == TargetState::Paused)
        return fail(Errc::Denied, "target " + target.id.text() + " is paused: unpause it, then run the capsule");
    if (!target.facts) return fail(Errc::Unavailable, "target " + target.id.text() + " has not been inspected yet");
    return {};
}

}  // namespace

Result<void> checkRequest(const manifest::Manifest& manifest, const RunRequest& request, const Target& target) {
    const std::string capsule = "capsule '" + manifest.name + "'";
    if (!manifest.schedule.onDemand && request.trigger == Trigger::OnDemand)
        return fail(Errc::Denied, capsule + " can't be run on demand: its manifest says schedule.on-demand = false");
    if (manifest.args == manifest::ArgsMode::Refuse && !request.args.empty())
        return fail(Errc::InvalidArgument, capsule + " takes no arguments: its manifest says args = \"refuse\"");
    const auto& backends = manifest.target.backends;
    if (!backends.empty() && std::find(backends.begin(), backends.end(), target.id.backend) == backends.end())
        return fail(Errc::Denied, capsule + " is for targets of " + join(backends) + " (target.backends), not of " + target.id.backend);
    if (auto state = checkState(target); !state) return forward(std::move(state));
    return checkSelector(manifest, target);
}

// A runtime's word for itself: "io.containerd.runc.v2" and "/usr/bin/runc" are runc.
Result<void> checkRuntime(const Target& target, const std::vector<std::string>& more) {
    std::string_view runtime = target.runtime;
    if (runtime.empty() || std::find(more.begin(), more.end(), runtime) != more.end()) return {};
    if (const auto slash = runtime.rfind('/'); slash != std::string_view::npos) runtime.remove_prefix(slash + 1);
    constexpr std::string_view prefix = "io.containerd.";
    if (runtime.starts_with(prefix)) {
        runtime.remove_prefix(prefix.size());
        runtime = runtime.substr(0, runtime.rfind(".v"));
    }
    const auto isOne = [&](std::string_view known) { return runtime == known; };
    const std::string who = "target " + target.id.text() + " ";
    if (std::any_of(kOtherKernels.begin(), kOtherKernels.end(), [&](auto word) { return runtime.find(word) != runtime.npos; }))
        return fail(Errc::NotSupported, who + "is kept by the runtime '" + target.runtime +
                                            "' behind a kernel of its own: this host has no processes of it that a capsule could join");
    if (std::any_of(kRuntimes.begin(), kRuntimes.end(), isOne)) return {};
    return fail(Errc::NotSupported, who + "is kept by the runtime '" + target.runtime +
                                        "', of which it is not known that its containers are processes of this host; if they are, " +
                                        "runtimes = [\"" + target.runtime + "\"] in [plugins." + target.id.backend + "] says so");
}

Result<const Image*> findImage(const ImageIndex& images, const manifest::Manifest& manifest) {
    const auto& reference = manifest.image;
    auto found = images.find(reference);
    if (!found && found.error().code == Errc::NotFound)
        return fail(Errc::NotFound,
                    "image " + reference + " of capsule '" + manifest.name + "' is not imported; 'recapctl image import' brings it in");
    if (!found) return forward(std::move(found), "image of capsule '" + manifest.name + "'");
    const Image& image = **found;
    const auto pin = reference.find("@sha256:");
    if (pin != std::string::npos && reference.compare(pin + 8, std::string::npos, image.digest) != 0)
        return fail(Errc::NotFound, "capsule '" + manifest.name + "' pins image " + reference + ", but " + reference.substr(0, pin) +
                                        " is " + image.digest + " here");
    if (!image.admitted)
        return fail(Errc::NotAdmitted, "image " + reference + " (" + image.digest.substr(0, 12) +
                                           ") is imported but not admitted; root admits it with 'recap-admit " + image.digest + "'");
    if (image.architecture != kArchitecture)
        return fail(Errc::NotSupported,
                    "image " + reference + " is for " + image.architecture + ", this machine is " + std::string(kArchitecture));
    return &image;
}

Result<void> checkSupported(const manifest::Manifest& manifest) {
    const auto unsupported = [&](const std::string& what) {
        return fail(Errc::NotSupported, "capsule '" + manifest.name + "' asks for " + what + ", which this version can't do");
    };
    if (manifest.output.storage == manifest::Storage::Disk) return unsupported("storage = \"disk\"");
    if (manifest.output.verdict == manifest::Verdict::Report) return unsupported("verdict = \"report\"");
    return {};
}

// As the launcher does: see checkMerged() there.
Result<void> checkMerged(const SandboxSpec& sandbox, const Target& target) {
    if (sandbox.view != View::Merged) return {};
    const bool elsewhere = (target.facts->hostNamespaces & kUser) == 0 && (sandbox.namespaces & kUser) == 0;
    const std::uint64_t beyond = sandbox.capabilities & ~(elsewhere ? 0 : target.facts->capEffective);
    if (beyond == 0) return {};
    return fail(Errc::Denied, "view = \"merged\": target " + target.id.text() + " has not " + join(manifest::capabilityNames(beyond)) +
                                  (elsewhere ? " outside its own user namespace" : "") +
                                  ", and a capsule among its files has no more than it; view = \"read-only\" has no such rule");
}

namespace {

// What a sandbox would do in one of the host's namespaces, and with which of the target's own it could instead.
Result<void> checkAllowed(std::uint32_t joined, std::uint32_t shared, const std::string& who, const HostBounds& bounds) {
    constexpr std::uint32_t kNever = kUser | kCgroup | kMnt;
    const auto refuse = [&](std::uint32_t bits, const char* would, const char* instead) {
        std::string why = who + "has the host's " + join(namespaceWords(bits)) + " namespace: the run would " + would;
        if ((bits & kNever) != 0) return fail(Errc::Denied, why + "; only a target with its own can be " + instead);
        return fail(Errc::Denied, why + "; host-namespaces in /etc/recap/ceiling.toml would have to allow it");
    };
    const std::uint32_t beyond = shared & (~bounds.namespaces | kNever);
    if (const auto never = beyond & joined & kNever) return refuse(never, "join the host's", "joined");
    if ((beyond & kMnt) != 0) return refuse(kMnt, "see the host's files", "shown");
    if (const auto others = beyond & joined) return refuse(others, "join the host's", "joined");
    if (beyond != 0) return refuse(kPid, "see the host's processes", "observed");
    return {};
}

}  // namespace

Result<void> checkHost(const SandboxSpec& sandbox, const Target& target, const HostBounds& bounds) {
    const std::uint32_t shared = hostNamespaces(sandbox, target);
    if (shared == 0) return {};
    const std::string who = "target " + target.id.text() + " ";
    if (auto allowed = checkAllowed(sandbox.namespaces, shared, who, bounds); !allowed) return allowed;
    const std::string where = "the host's " + join(namespaceWords(shared)) + " namespace";
    if ((target.facts->hostNamespaces & kMnt) != 0)
        return fail(Errc::Denied,
                    who + "has the host's files, so it is no container, and " + where + " is joined by way of containers only");
    const bool elsewhere = (target.facts->hostNamespaces & kUser) == 0;
    const std::uint64_t counting = elsewhere && (sandbox.namespaces & kUser) != 0 ? 0 : sandbox.capabilities;
    if (const std::uint64_t beyond = counting & ~(elsewhere ? 0 : target.facts->capEffective); beyond != 0)
        return fail(Errc::Denied,
                    who + "has not " + join(manifest::capabilityNames(beyond)) + ", and a capsule in " + where + " has no more than it");
    if ((shared & (kPid | kNet)) == 0) return {};
    if (sandbox.processes == Processes::Join)
        return fail(Errc::Denied, "processes = \"join\" does not go with " + where +
                                      ": a capsule there may look into no process; processes = \"observe\" lists them");
    if (bounds.scoped) return {};
    return fail(Errc::NotSupported, "this kernel can't keep a capsule in " + where +
                                        " from the host's abstract sockets and processes: it lacks Landlock's scope (Linux 6.12)");
}

Result<void> checkHostUser(const RunPlan& plan) {
    constexpr std::uint32_t kNobody = 65534;
    const TargetFacts& facts = *plan.target.facts;
    const std::uint32_t shared = hostNamespaces(plan.sandbox, plan.target);
    const bool theirGroup = plan.gid == facts.gid || plan.gid == kNobody || std::ranges::find(facts.groups, plan.gid) != facts.groups.end();
    if (shared == 0 || ((plan.uid == facts.uid || plan.uid == kNobody) && theirGroup)) return {};
    return fail(Errc::Denied, "a capsule in the host's " + join(namespaceWords(shared)) + " namespace is target " + plan.target.id.text() +
                                  "'s own user, or 65534: user = \"target\"");
}

}  // namespace recap::plan
