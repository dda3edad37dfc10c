// SPDX-License-Identifier: Apache-2.0
// The verbs of recap-capsule, one file each: add… declares the verb's options and sets what runs when it is chosen.
// A verb's function returns the program's exit status; it prints its own errors.
#pragma once

#include <CLI/CLI.hpp>

namespace recap::tools {

void addBuild(CLI::App& app, int& status);
void addCheck(CLI::App& app, int& status);

}  // namespace recap::tools
