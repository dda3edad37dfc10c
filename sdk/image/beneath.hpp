// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::image {

// openat2(2) that cannot leave `folder`: no "..", no symbolic link, no other mount on the way. Invalid, with errno, when it
// fails; `path` may be empty for the folder itself. Always close-on-exec.
UniqueFd openBeneath(int folder, const std::string& path, int flags, unsigned mode = 0);

// A new file of `folder` for reading and writing that has no name any more.
Result<UniqueFd> namelessFile(int folder);

}  // namespace recap::image
