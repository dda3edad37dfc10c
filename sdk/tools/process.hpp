// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap::tools {

// A program, found on PATH, in the C locale, with /dev/null for input. Its standard output goes to `take` as a descriptor to
// read from; its errors are kept for the message. Fails unless it exits with 0.
Result<void> runProgram(const std::vector<std::string>& argv, const std::function<Result<void>(int)>& take);

// The same, with its output as text.
Result<std::string> outputOf(const std::vector<std::string>& argv);

}  // namespace recap::tools
