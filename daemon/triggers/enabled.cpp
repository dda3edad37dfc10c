// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/enabled.hpp"

#include <set>
#include <vector>

#include "daemon/core/host.hpp"
#include "daemon/triggers/events.hpp"

namespace recap {
namespace {

std::string quoted(const std::string& name) { return "capsule '" + name + "'"; }

// polkit allowed it when the capsule was enabled, and nobody is there to be asked now: for what it asked for then, and no more.
Result<std::optional<Authorisation>> authorise(const CapsuleInfo& capsule, const ImageIndex& images, const Target& target) {
    const std::uint32_t host = hostNamespaces(capsule, target);
    if (host != 0 && !privileged(capsule))
        return fail(Errc::AccessDenied, quoted(capsule.name) +
                                            " would be in the host's own namespaces there, and the right to that was not asked "
                                            "for when user " +
                                            std::to_string(capsule.enabling.uid) + " enabled it");
    const auto image = images.find(capsule.image);
    Authorisation authorised;
    authorised.backend = target.id.backend;
    authorised.digest = image ? (*image)->digest : std::string();
    authorised.revision = capsule.revision;
    authorised.startTime = target.startTime;
    authorised.hostNamespaces = host;
    return authorised;
}

// The capsule, those whose ends it waits for, and so on: of a thousand that are enabled these are few.
std::vector<const CapsuleInfo*> chainBefore(const CapsuleInfo& capsule, const CapsuleStore& capsules) {
    std::vector<const CapsuleInfo*> chain{&capsule};
    std::set<std::string> seen{capsule.name};
    for (std::size_t i = 0; i < chain.size(); ++i)
        for (const auto& event : chain[i]->schedule.events) {
            if (event.on != "run-finished" || !seen.insert(event.capsule).second) continue;
            if (const auto found = capsules.find(event.capsule)) chain.push_back(*found);
        }
    return chain;
}

}  // namespace

std::string loopProblem(const CapsuleInfo& capsule, const CapsuleStore& capsules) {
    const std::string loop = chainLoop(capsule, chainBefore(capsule, capsules));
    return loop.empty() ? loop : "would start itself for ever, by its own run-finished events or others': " + loop;
}

std::string problemOf(const CapsuleInfo& capsule, const CapsuleStore& capsules) {
    if (unreadable(capsule)) return "its file can't be read: " + capsule.problem;
    if (!capsule.schedule.any()) return "its manifest has no [schedule] any more";
    if (asks(capsule) != capsule.enabling.asks)
        return "it asks for something else than when user " + std::to_string(capsule.enabling.uid) + " enabled it: enable it again";
    if (const auto loop = loopProblem(capsule, capsules); !loop.empty()) return "it " + loop;
    return {};
}

bool sound(const CapsuleInfo& capsule, const CapsuleStore& capsules) {
    return capsule.enabled && !capsule.image.empty() && problemOf(capsule, capsules).empty();
}

Result<void> asEnabler(const CapsuleInfo& capsule, const ImageIndex& images, const BatchTable& batches, BatchRequest& request) {
    request.run.capsule = capsule.name;
    request.run.caller.uid = capsule.enabling.uid;
    if (capsule.enabling.uid == 0) return {};
    const auto chosen = batches.choose(capsule.name, request.selection, {});
    if (!chosen) return tl::unexpected(chosen.error());
    request.targets.emplace();
    for (const Target* target : *chosen) request.targets->push_back({target->id, target->name, authorise(capsule, images, *target)});
    return {};
}

}  // namespace recap
