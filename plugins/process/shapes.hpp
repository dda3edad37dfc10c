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

// `cgroup` is `other` or below it; nothing is below "/".
bool isIn(std::string_view cgroup, std::string_view other);

// Below a user's session or manager, or within another container: whoever lives there may have named it.
bool isDelegated(std::string_view cgroup);

// A name that can't be taken for an id or a pid: not digits only, not 12 or more hexadecimal ones.
bool isPlainName(std::string_view name);

}  // namespace recap::process
