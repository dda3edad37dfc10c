// SPDX-License-Identifier: Apache-2.0
// The JSON documents of an OCI image (and Docker's schema 2, which has the same shape) as values. Pure; texts are a
// stranger's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/image/archive.hpp"
#include "sdk/image/limits.hpp"

namespace recap::image {

namespace media {
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar";
}  // namespace media

inline constexpr std::string_view kReferenceAnnotation = "org.opencontainers.image.ref.name";
inline constexpr std::string_view kContainerdNameAnnotation = "io.containerd.image.name";

struct Descriptor {
    std::string mediaType;
    std::string digest;  // 64 hex digits
    std::uint64_t size = 0;
    std::map<std::string, std::string> annotations;
    std::string os;  // of its platform; empty: not said
    std::string architecture;

    std::string reference() const;  // by its annotations; may be empty
    std::string blobPath() const { return "blobs/sha256/" + digest; }
};

struct ManifestDocument {
    Descriptor config;
    std::vector<Descriptor> layers;
};

struct ImageConfig {
    std::string os = "linux";
    std::string architecture;
    std::vector<std::string> entrypoint;
    std::vector<std::string> cmd;
    std::vector<std::string> env;
    std::string workdir;
    std::map<std::string, std::string> labels;
    std::vector<std::string> diffIds;  // 64 hex digits, lowest first
};

Result<void> parseLayoutMarker(std::string_view text);  // "oci-layout"
Result<std::vector<Descriptor>> parseIndex(std::string_view text);
Result<ManifestDocument> parseManifest(std::string_view text, const Limits& limits);
Result<ImageConfig> parseConfig(std::string_view text, const Limits& limits);

bool isIndexType(std::string_view mediaType);
bool isManifestType(std::string_view mediaType);
Result<Compression> layerCompression(std::string_view mediaType);

std::string printConfig(const ImageConfig& config);
std::string printManifest(const ManifestDocument& manifest);
std::string printIndex(const Descriptor& manifest);

// The name OCI gives this machine's architecture, and ELF's number for one of OCI's names (0: unknown).
std::string_view hostArchitecture();
std::uint32_t elfMachine(std::string_view architecture);

}  // namespace recap::image
