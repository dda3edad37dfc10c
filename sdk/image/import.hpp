// SPDX-License-Identifier: Apache-2.0
// An OCI image out of a Source into unpacked layers. The only reader of whole images: recap-unpack runs it in its jail.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sdk/image/file_table.hpp"
#include "sdk/image/limits.hpp"
#include "sdk/image/oci.hpp"
#include "sdk/image/source.hpp"

namespace recap::image {

struct ImportedImage {
    std::string digest;     // of the manifest
    std::string reference;  // by the index's annotation; may be empty
    ImageConfig config;
    FileTable files;         // all layers applied
    std::uint64_t size = 0;  // bytes unpacked
};

// Chooses the manifest for `architecture` where there are several, verifies the digest of every document and blob and the
// diff-id of every layer, and unpacks each layer once into staging/layers/<diff-id>/.
Result<ImportedImage> importImage(Source& source, int staging, std::string_view architecture, const Limits& limits = {});

}  // namespace recap::image
