// SPDX-License-Identifier: Apache-2.0
// OCI images put together from given layer bytes, right or wrong on purpose. Tests only; recap::image's writer is not used,
// so that reader and writer can't share a mistake.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/raw_tar.hpp"

namespace recap::test {

struct RawImage {
    std::vector<std::string> layers;  // tars
    std::string mediaType = "application/vnd.oci.image.layer.v1.tar";
    std::vector<std::string> blobs = {};    // what is stored for them (compressed); default: the layers themselves
    std::vector<std::string> diffIds = {};  // 64 hex digits; default: right ones
    std::string corruptBlob = {};           // appended to the last stored layer after its digest was taken
    std::string configExtra = {};           // JSON members put into the config, each with a leading comma
    std::string reference = {};
    std::string architecture = "amd64";
};

std::string sha256Hex(const std::string& bytes);
// index.json, oci-layout and blobs into `folder`, which is made. Returns the manifest's digest.
std::string writeRawImage(const RawImage& image, const std::filesystem::path& folder);
// The same as a tar's bytes.
std::string rawArchive(const std::filesystem::path& layoutFolder);
std::string gzipped(const std::string& bytes);
// What `docker save` of 20.10 writes, in its order and still to be changed: each layer in a folder of its own, and one that the
// archive has already as a link to it. mediaType and corruptBlob are not used.
std::vector<RawMember> rawDockerArchive(const RawImage& image);

}  // namespace recap::test
