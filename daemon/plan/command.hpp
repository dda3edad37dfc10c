// SPDX-License-Identifier: Apache-2.0
// What is started: program, arguments, environment, folder.
#pragma once

#include "daemon/core/image.hpp"
#include "daemon/core/run.hpp"
#include "sdk/base/result.hpp"
#include "sdk/manifest/manifest.hpp"

namespace recap::plan {

// Fills argv, env, workdir and executable. `plan` has its id, request, target, sandbox and artifacts already.
Result<void> planCommand(const manifest::Manifest& manifest, const Image& image, RunPlan& plan);

}  // namespace recap::plan
