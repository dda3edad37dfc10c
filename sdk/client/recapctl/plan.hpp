// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sdk/client/recap/value.hpp"

namespace recapctl {

// A line an aspect, escaped.
std::string planInWords(const recap::client::Dict& plan);

}  // namespace recapctl
