// SPDX-License-Identifier: Apache-2.0
// What `docker save` writes before version 25, and others still do: manifest.json names a config and layers by their paths in
// the archive. It is read as the OCI layout that says the same, so that one importer verifies and unpacks both.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/image/limits.hpp"

namespace recap::image {

struct DockerImage {
    std::string config;  // path in the archive, as are the layers
    std::vector<std::string> layers;
    std::string reference;  // the first of its tags; may be empty
};

// manifest.json, which has to be of one image. Pure.
Result<DockerImage> parseDockerManifest(std::string_view text, const Limits& limits);

// Whether a file of that clean name may be one that manifest.json names.
bool mayBelongToDocker(std::string_view path);

using LayoutFiles = std::map<std::string, UniqueFd>;

// Of an archive's files (links among them followed), which are read here as far as they are documents. The same image gives
// the same layout, so the same digest. The layers' bytes are the importer's to verify. New files are nameless ones of `spool`.
Result<LayoutFiles> layoutOfDocker(const LayoutFiles& files, int spool, const Limits& limits);

}  // namespace recap::image
