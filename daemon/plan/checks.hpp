// SPDX-License-Identifier: Apache-2.0
// The planner's questions that end in yes or a sentence. All before any side effect.
#pragma once

#include <string>
#include <vector>

#include "daemon/core/host.hpp"
#include "daemon/core/image.hpp"
#include "daemon/core/run.hpp"
#include "daemon/core/target.hpp"
#include "sdk/base/result.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::plan {

// May this capsule be asked for like this: on demand, with these arguments, on this backend, with these labels?
Result<void> checkRequest(const manifest::Manifest& manifest, const RunRequest& request, const Target& target);

// Are the target's processes this kernel's? By the name of its runtime, the usual ones and `more` of that backend's settings.
Result<void> checkRuntime(const Target& target, const std::vector<std::string>& more);

// The manifest's image: imported, the pinned one, admitted, for this machine.
Result<const Image*> findImage(const ImageIndex& images, const manifest::Manifest& manifest);

// What this version can't do yet, by the manifest's key.
Result<void> checkSupported(const manifest::Manifest& manifest);

// Among the target's files, with view = "merged", a capsule has no capability that the target lacks.
Result<void> checkMerged(const SandboxSpec& sandbox, const Target& target);

// Nothing that is joined or shown may be the host's own, but what the ceiling allows. As the launcher does: see checkHost() there.
Result<void> checkHost(const SandboxSpec& sandbox, const Target& target, const HostBounds& bounds);
// Of a plan whose user is resolved: who is in the host's is the target's own user. As the launcher does, too.
Result<void> checkHostUser(const RunPlan& plan);

}  // namespace recap::plan
