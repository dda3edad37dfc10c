// SPDX-License-Identifier: Apache-2.0
// Where a test finds the build, the sources and the stack it runs in: from the environment that ctest and
// `dev with` set, else the build that the program comes from.
#pragma once

#include <filesystem>
#include <string>

namespace recap::test {

std::filesystem::path binDir();     // RECAP_BIN_DIR
std::filesystem::path sourceDir();  // RECAP_SOURCE_DIR
// Throws std::runtime_error that says what is missing and who sets it.
std::string variable(const char* name, const char* setBy);

}  // namespace recap::test
