// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/facts.hpp"

#include <recap/proc.hpp>

namespace recap::containerd {
namespace {

constexpr std::size_t kMaxLabels = 256;
constexpr std::string_view kCriLabels = "io.cri-containerd.";

std::string labelOf(const Container& container, const char* key) {
    const auto found = container.labels.find(key);
    return found == container.labels.end() ? std::string() : found->second;
}

// The name that people use, and the others.
void nameTarget(plugin::Target& target, const Container& container) {
    const std::string pod = labelOf(container, "io.kubernetes.pod.name");
    const std::string inPod = labelOf(container, "io.kubernetes.container.name");
    const std::string nerdctl = labelOf(container, "nerdctl/name");
    if (!pod.empty() && !inPod.empty()) {
        target.name = pod + "/" + inPod;
        const std::string podNamespace = labelOf(container, "io.kubernetes.pod.namespace");
        if (!podNamespace.empty()) target.aliases.push_back(podNamespace + "/" + target.name);
    } else if (!nerdctl.empty()) {
        target.name = nerdctl;
        target.aliases.push_back(container.nameSpace + "/" + nerdctl);
    } else {
        target.name = container.id;
    }
    if (target.name != container.id) target.aliases.push_back(container.id);
}

}  // namespace

const char* Task::word() const {
    switch (status) {
        case Status::Created: return "created";
        case Status::Running: return "running";
        case Status::Stopped: return "stopped";
        case Status::Paused: return "paused";
        case Status::Pausing: return "pausing";
        default: return "its shim does not answer";
    }
}

std::string targetId(std::string_view nameSpace, std::string_view container) {
    return std::string(nameSpace) + "/" + std::string(container);
}

bool isSandbox(const Container& container) { return labelOf(container, "io.cri-containerd.kind") == "sandbox"; }

std::string podUid(const Container& container) { return labelOf(container, "io.kubernetes.pod.uid"); }

std::optional<plugin::Target> targetOf(const Container& container, const Task& task, const Labels& podLabels) {
    using Status = Task::Status;
    const bool paused = task.status == Status::Paused || task.status == Status::Pausing;
    if (isSandbox(container) || task.pid <= 0 || (task.status != Status::Running && !paused)) return std::nullopt;
    plugin::Target target;
    target.startTime = plugin::startTimeOf(task.pid);
    target.cgroup = plugin::cgroupOf(task.pid);
    if (target.startTime == 0 || !isCgroupOf(target.cgroup, container.id, container.spec.cgroupsPath)) return std::nullopt;
    if (plugin::startTimeOf(task.pid) != target.startTime) return std::nullopt;
    target.id = targetId(container.nameSpace, container.id);
    nameTarget(target, container);
    target.image = container.image;
    target.runtime = container.runtime;
    target.state = paused ? plugin::TargetState::Paused : plugin::TargetState::Running;
    target.pid = task.pid;
    target.labels = container.labels;
    for (const auto& [key, value] : podLabels) {
        if (!key.starts_with(kCriLabels) && target.labels.size() < kMaxLabels) target.labels.emplace(key, value);
    }
    target.details[RECAP_DETAIL_USER_NAMESPACE] = container.spec.ownUserNamespace ? "private" : "host";
    return target;
}

bool stillLives(const plugin::Target& target) { return target.startTime != 0 && plugin::startTimeOf(target.pid) == target.startTime; }

}  // namespace recap::containerd
