// SPDX-License-Identifier: Apache-2.0
// A container as a target.
#pragma once

#include <recap/plugin.hpp>

#include "plugins/docker/readers.hpp"

namespace recap::docker {

// What the engine says; where `userNamespaces`, a container that does not say otherwise is in one. For Container::running.
plugin::Target describe(const Container& container, bool userNamespaces);

// Adds what the kernel says: start time and cgroup. False: the pid is no process of the container (any more).
bool pin(plugin::Target& target);
bool isAlive(const plugin::Target& target);  // its first process is the one that was pinned

// "container 'web' is not running (exited, status 137)"
std::string whyNotRunning(const Container& container);

}  // namespace recap::docker
