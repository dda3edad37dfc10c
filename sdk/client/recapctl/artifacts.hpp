// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sdk/client/recap/client.hpp"

namespace recapctl {

// Copies every artifact of the run below `folder`, which is made where it is missing; an artifact's name cannot lead out of
// it. The rows of what was copied.
recap::Result<recap::client::Rows> fetchArtifacts(recap::client::Client& client, const std::string& run, const std::string& folder);

// Opens `name` for writing beneath `folder` (a directory's descriptor), with the folders on the way made.
recap::Result<recap::UniqueFd> createBeneath(int folder, const std::string& name, unsigned mode);

}  // namespace recapctl
