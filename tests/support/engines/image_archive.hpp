// SPDX-License-Identifier: Apache-2.0
// Images for real engines, made without a registry: busybox and its applets.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace recap::test {

struct EngineImage {
    std::string reference = "recap-app:v1";
    std::vector<std::string> command = {"/bin/sleep", "86400"};
    std::map<std::string, std::string> labels = {};
    std::map<std::string, std::string> files = {};  // path without the leading '/', and text
};

// One tar that `docker load`, `podman load`, `ctr images import` and `skopeo copy oci-archive:` take. containerd knows the image as
// docker.io/library/REFERENCE. Returns the manifest's digest, "sha256:…".
std::string writeImageArchive(const std::filesystem::path& archive, const EngineImage& image = {});

}  // namespace recap::test
