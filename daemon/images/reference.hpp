// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap::images {

// [HOST[:PORT]/]NAME[/NAME…][:TAG][@sha256:HEX]. What is not given stays empty.
struct Reference {
    std::string name;
    std::string tag;
    std::string digest;  // 64 hex digits

    std::string text() const { return name + ":" + (tag.empty() ? "latest" : tag); }  // as the index keeps it
};

Result<Reference> parseReference(std::string_view text);

// What an image may be called: NAME[:TAG], without a digest.
Result<Reference> parseName(std::string_view text);

}  // namespace recap::images
