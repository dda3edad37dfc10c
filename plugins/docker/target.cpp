// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/target.hpp"

#include <recap/proc.hpp>

#include <algorithm>
#include <array>

namespace recap::docker {
namespace {

std::string labelOf(const Container& container, const char* key) {
    const auto found = container.labels.find(key);
    return found == container.labels.end() ? std::string() : found->second;
}

// "shop/web", and with several of a service "shop/web/2": what compose calls it, and people after it.
std::vector<std::string> composeNames(const Container& container) {
    const std::string project = labelOf(container, "com.docker.compose.project");
    const std::string service = labelOf(container, "com.docker.compose.service");
    const std::string number = labelOf(container, "com.docker.compose.container-number");
    if (project.empty() || service.empty()) return {};
    std::vector<std::string> names{project + "/" + service};
    if (!number.empty()) names.push_back(names.front() + "/" + number);
    return names;
}

std::string userNamespaceOf(const Container& container, bool userNamespaces) {
    if (!container.userNamespace.empty()) return container.userNamespace;
    return userNamespaces ? "remapped" : "host";
}

}  // namespace

plugin::Target describe(const Container& container, bool userNamespaces) {
    plugin::Target target;
    target.id = container.id;
    target.name = container.name;
    target.image = container.image;
    target.runtime = container.runtime;
    target.labels = container.labels;
    target.state = container.paused ? plugin::TargetState::Paused : plugin::TargetState::Running;
    target.pid = container.pid;
    target.aliases = composeNames(container);
    target.details[RECAP_DETAIL_RESTARTS] = std::to_string(container.restarts);
    target.details[RECAP_DETAIL_USER_NAMESPACE] = userNamespaceOf(container, userNamespaces);
    if (!container.health.empty()) target.details[RECAP_DETAIL_HEALTH] = container.health;
    return target;
}

// The start time first and last: what was read in between is of one process. A cgroup that names the container tells it from
// another process that was given the pid since.
bool pin(plugin::Target& target) {
    target.startTime = plugin::startTimeOf(target.pid);
    if (target.startTime == 0 || !plugin::hasCgroupOf(target.pid, target.id)) return false;
    target.cgroup = plugin::cgroupOf(target.pid);
    return isAlive(target);
}

bool isAlive(const plugin::Target& target) { return plugin::startTimeOf(target.pid) == target.startTime; }

std::string whyNotRunning(const Container& container) {
    constexpr std::array<std::string_view, 4> endings{"exited", "stopped", "dead", "restarting"};  // "stopped" is podman's
    const bool ended = std::find(endings.begin(), endings.end(), container.status) != endings.end();
    const std::string status = container.status.empty() ? "no state" : shortened(container.status, 32);
    return "container '" + container.name + "' is not running (" + status +
           (ended ? ", status " + std::to_string(container.exitCode) : "") + ")";
}

}  // namespace recap::docker
