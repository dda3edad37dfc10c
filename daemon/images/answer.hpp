// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "daemon/core/image.hpp"

namespace recap::images {

struct Answer {
    Image image;
    std::string reference;  // that the archive gave itself; unchecked text
};

// answer.json of recap-unpack. It comes out of a jail, but what it says was a stranger's: sizes, counts and shapes are checked.
Result<Answer> parseAnswer(std::string_view text);

}  // namespace recap::images
