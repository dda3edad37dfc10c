// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sdk/base/result.hpp"
#include "sdk/image/import.hpp"

namespace recap::helpers {

// What recap-unpack leaves beside layers/: "image", the launcher's ImageRecord (launcher/protocol.hpp), and "answer.json",
// what recapd's index keeps of the image (daemon/images/answer.hpp reads it).
Result<void> writeOutput(int staging, const image::ImportedImage& image);

std::string imageRecord(const image::ImportedImage& image);
Result<std::string> answerText(const image::ImportedImage& image);

}  // namespace recap::helpers
