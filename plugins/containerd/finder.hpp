// SPDX-License-Identifier: Apache-2.0
// One container by what people call it, asked of containerd itself.
#pragma once

#include <string_view>

#include "plugins/containerd/session.hpp"

namespace recap::containerd {

// "ID", "NAMESPACE/ID", nerdctl's name, "POD/CONTAINER" or "PODNAMESPACE/POD/CONTAINER". Those of that name that run are told;
// NotFound says what is in the way where none does.
Result<void> findTarget(const Options& options, Roster& roster, plugin::Sink& sink, std::string_view wanted);

}  // namespace recap::containerd
