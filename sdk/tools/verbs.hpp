// SPDX-License-Identifier: Apache-2.0
// The verbs of recap-capsule, one file each: add… declares the verb's options and what it does. That returns the program's exit
// status, and prints its own errors.
#pragma once

#include "sdk/cli/verb.hpp"

namespace recap::tools {

void addBuild(cli::Verb& top);
void addCheck(cli::Verb& top);

}  // namespace recap::tools
