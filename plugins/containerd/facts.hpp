// SPDX-License-Identifier: Apache-2.0
// A container and its task, as containerd tells of them, become a target.
#pragma once

#include <recap/plugin.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/containerd/readers.hpp"

namespace recap::containerd {

using Labels = std::map<std::string, std::string>;

struct Container {
    std::string nameSpace;
    std::string id;
    std::string image;
    std::string runtime;
    Labels labels;
    SpecFacts spec;
    std::int64_t created = 0;  // seconds
};

struct Task {
    enum class Status {
        Unknown,
        Created,
        Running,
        Stopped,
        Paused,
        Pausing
    } status = Status::Unknown;  // Unknown: its shim does not answer
    std::string id;
    pid_t pid = 0;
    const char* word() const;  // for messages: "stopped"
};

// What the target is called for sure: "k8s.io/3f2…".
std::string targetId(std::string_view nameSpace, std::string_view container);

// Kubernetes' pods by CRI: the sandbox has the pod's own labels, its containers have not.
bool isSandbox(const Container& container);
std::string podUid(const Container& container);  // empty: not of a pod

// None: it is a sandbox, does not run, or its pid is no longer its own. `podLabels`: of its pod's sandbox.
std::optional<plugin::Target> targetOf(const Container& container, const Task& task, const Labels& podLabels);

// The same process still, and no zombie.
bool stillLives(const plugin::Target& target);

}  // namespace recap::containerd
