// SPDX-License-Identifier: Apache-2.0
// Containers by the names that engines give their cgroups, and RECap's own by the names that it gives.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace recap::process {

struct Shape {
    std::string engine;  // "docker", "containerd", "podman", "cri-o", "lxc", "nspawn"; "container" where only an id is seen
    std::string id;      // as the cgroup has it
    std::string cgroup;  // the container's own, of which the path may be a part below
};

// The innermost container that `cgroup` belongs to.
std::optional<Shape> shapeOf(std::string_view cgroup);

// A capsule's cgroup, as recap-launcher names it: …/c/<run id>.
bool isCapsuleCgroup(std::string_view cgroup);

}  // namespace recap::process
