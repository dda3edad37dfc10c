// SPDX-License-Identifier: Apache-2.0
#include "tests/support/environment.hpp"

#include <cstdlib>
#include <stdexcept>

namespace recap::test {

std::string variable(const char* name, const char* setBy) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') throw std::runtime_error(std::string(name) + " is not set; " + setBy + " sets it");
    return value;
}

// A program run by hand finds the places of its own build.
std::filesystem::path binDir() {
    const char* value = std::getenv("RECAP_BIN_DIR");
    return value != nullptr ? std::filesystem::path(value) : std::filesystem::path(RECAP_TEST_BIN_DIR);
}
std::filesystem::path sourceDir() {
    const char* value = std::getenv("RECAP_SOURCE_DIR");
    return value != nullptr ? std::filesystem::path(value) : std::filesystem::path(RECAP_TEST_SOURCE_DIR);
}

}  // namespace recap::test
