// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/info.hpp"

#include "daemon/plan/words.hpp"
#include "sdk/manifest/sections.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

CapsuleSchedule scheduleOf(const manifest::Schedule& from) {
    CapsuleSchedule schedule;
    schedule.onDemand = from.onDemand;
    schedule.overlap = static_cast<Overlap>(from.overlap);
    schedule.missed = static_cast<Missed>(from.missed);
    if (const auto& periodic = from.periodic)
        schedule.periodic = {periodic->calendar, periodic->every.value_or(std::chrono::microseconds(0)), periodic->randomizedDelay};
    for (const auto& event : from.events)
        schedule.events.push_back({event.on, event.resource, event.stall, event.window, event.path, event.match, event.sender,
                                   event.capsule, event.outcome, event.cooldown});
    return schedule;
}

}  // namespace

Selection selectionOf(const manifest::TargetSelection& target) {
    Selection selection;
    for (const auto& [key, value] : target.selector) selection.labels.push_back({key, "=", {value}});
    for (const auto& term : target.expressions) selection.labels.push_back({term.key, term.op, term.values});
    selection.backends = target.backends;
    selection.mode = static_cast<SelectionMode>(target.mode);
    selection.modeValue = target.modeValue;
    selection.parallel = target.parallel;
    return selection;
}

CapsuleInfo describeManifest(const manifest::Manifest& manifest) {
    CapsuleInfo info;
    info.name = manifest.name;
    info.version = manifest.version;
    info.description = manifest.description;
    info.image = manifest.image;
    info.command = manifest.command;
    info.namespaces = namespaceWords(manifest.sandbox.namespaces);
    info.capabilities = manifest.sandbox.capabilities;
    info.processes = word(static_cast<Processes>(manifest.sandbox.processes));
    info.view = word(static_cast<View>(manifest.sandbox.view));
    info.writes = manifest.sandbox.writes;
    info.user = manifest::formatUser(manifest.sandbox.user);
    info.policy = manifest.sandbox.policy;
    info.reason = manifest.sandbox.reason;
    for (std::size_t bit = 0; bit < manifest::kAdjustableWords.size(); ++bit)
        if (manifest.sandbox.adjustable >> bit & 1) info.adjustable.emplace_back(manifest::kAdjustableWords[bit]);
    info.freeze = manifest.sandbox.freeze;
    info.tty = manifest.tty;
    info.selection = selectionOf(manifest.target);
    info.schedule = scheduleOf(manifest.schedule);
    return info;
}

}  // namespace recap::plan
