// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace recap {

// Printable ASCII as it is, but '\'; any other byte as \xNN. A target chooses the names of its files and mounts, and what is written to
// stderr is the journal's line by line, each with a priority of its own (sd-daemon(3)).
std::string escaped(std::string_view foreign);

}  // namespace recap
