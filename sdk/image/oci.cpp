// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/oci.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "sdk/image/digest.hpp"
#include "sdk/image/json.hpp"
#include "sdk/image/names.hpp"

namespace recap::image {
namespace {

Result<Json> parse(std::string_view text) {
    auto json = Json::parse(text.begin(), text.end(), nullptr, false);
    if (json.is_discarded()) return refuse("not JSON");
    if (!json.is_object()) return refuse("not a JSON object");
    return json;
}

Result<Descriptor> descriptorOf(const Json& json) {
    if (!json.is_object()) return refuse("a descriptor is not an object");
    Descriptor descriptor;
    std::string digest;
    for (auto taken :
         {take(json, "mediaType", descriptor.mediaType), take(json, "digest", digest), take(json, "annotations", descriptor.annotations)}) {
        if (!taken) return forward(std::move(taken));
    }
    auto hex = parseDigest(digest);
    if (!hex) return forward(std::move(hex));
    descriptor.digest = std::move(*hex);
    const auto* size = member(json, "size");
    if (!size || !size->is_number_unsigned()) return refuse("descriptor sha256:" + descriptor.digest + " has no size");
    descriptor.size = size->get<std::uint64_t>();
    if (const auto* platform = member(json, "platform"); platform && platform->is_object()) {
        for (auto taken : {take(*platform, "os", descriptor.os), take(*platform, "architecture", descriptor.architecture)}) {
            if (!taken) return forward(std::move(taken));
        }
    }
    return descriptor;
}

Result<std::vector<Descriptor>> descriptorsOf(const Json& json, const char* key, std::size_t limit) {
    const auto* array = member(json, key);
    if (!array || !array->is_array()) return refuse(std::string("no array '") + key + "'");
    if (array->size() > limit)
        return fail(Errc::LimitExceeded, std::string("'") + key + "' has more than " + std::to_string(limit) + " entries");
    std::vector<Descriptor> descriptors;
    for (const auto& item : *array) {
        auto descriptor = descriptorOf(item);
        if (!descriptor) return forward(std::move(descriptor));
        descriptors.push_back(std::move(*descriptor));
    }
    return descriptors;
}

bool contains(std::initializer_list<std::string_view> types, std::string_view type) {
    return std::find(types.begin(), types.end(), type) != types.end();
}

Json print(const Descriptor& descriptor) {
    Json json{{"mediaType", descriptor.mediaType}, {"digest", "sha256:" + descriptor.digest}, {"size", descriptor.size}};
    if (!descriptor.annotations.empty()) json["annotations"] = descriptor.annotations;
    if (!descriptor.architecture.empty()) json["platform"] = {{"architecture", descriptor.architecture}, {"os", descriptor.os}};
    return json;
}

struct Architecture {
    std::string_view name;
    std::uint32_t machine;
};
constexpr std::array kArchitectures{Architecture{"amd64", 62}, Architecture{"arm64", 183},   Architecture{"386", 3},
                                    Architecture{"arm", 40},   Architecture{"riscv64", 243}, Architecture{"ppc64le", 21},
                                    Architecture{"s390x", 22}, Architecture{"loong64", 258}};

}  // namespace

std::string Descriptor::reference() const {
    for (const auto key : {kContainerdNameAnnotation, kReferenceAnnotation}) {
        if (const auto found = annotations.find(std::string(key)); found != annotations.end()) return found->second;
    }
    return {};
}

bool isIndexType(std::string_view mediaType) {
    return contains({media::kIndex, "application/vnd.docker.distribution.manifest.list.v2+json"}, mediaType);
}

bool isManifestType(std::string_view mediaType) {
    return contains({media::kManifest, "application/vnd.docker.distribution.manifest.v2+json"}, mediaType);
}

Result<Compression> layerCompression(std::string_view mediaType) {
    constexpr std::string_view docker = "application/vnd.docker.image.rootfs.diff.tar";
    for (const auto base : {media::kLayer, docker}) {
        if (mediaType == base) return Compression::None;
        if (!mediaType.starts_with(base)) continue;
        const auto suffix = mediaType.substr(base.size());
        if (suffix == "+gzip" || suffix == ".gzip") return Compression::Gzip;
        if (suffix == "+zstd" || suffix == ".zstd") return Compression::Zstd;
    }
    return refuse("media type " + shown(mediaType) + " is not a layer's (tar, tar+gzip, tar+zstd)");
}

Result<void> parseLayoutMarker(std::string_view text) {
    auto json = parse(text);
    if (!json) return forward(std::move(json), "oci-layout");
    std::string version;
    if (auto taken = take(*json, "imageLayoutVersion", version); !taken) return forward(std::move(taken), "oci-layout");
    if (version != "1.0.0") return refuse("oci-layout: version " + shown(version) + " is not 1.0.0");
    return {};
}

Result<std::vector<Descriptor>> parseIndex(std::string_view text) {
    constexpr std::size_t kMaxManifests = 256;
    auto json = parse(text);
    if (!json) return forward(std::move(json));
    std::string type;
    if (auto taken = take(*json, "mediaType", type); !taken) return forward(std::move(taken));
    if (!type.empty() && !isIndexType(type)) return refuse("media type " + shown(type) + " is not an index's");
    return descriptorsOf(*json, "manifests", kMaxManifests);
}

Result<ManifestDocument> parseManifest(std::string_view text, const Limits& limits) {
    auto json = parse(text);
    if (!json) return forward(std::move(json));
    std::string type;
    if (auto taken = take(*json, "mediaType", type); !taken) return forward(std::move(taken));
    if (!type.empty() && !isManifestType(type)) return refuse("media type " + shown(type) + " is not an image manifest's");
    const auto* config = member(*json, "config");
    if (!config) return refuse("no 'config'");
    ManifestDocument manifest;
    auto descriptor = descriptorOf(*config);
    if (!descriptor) return forward(std::move(descriptor), "config");
    manifest.config = std::move(*descriptor);
    if (!contains({media::kConfig, "application/vnd.docker.container.image.v1+json"}, manifest.config.mediaType)) {
        return refuse("config: media type " + shown(manifest.config.mediaType) + " is not an image config's");
    }
    auto layers = descriptorsOf(*json, "layers", limits.layers);
    if (!layers) return forward(std::move(layers));
    if (layers->empty()) return refuse("the image has no layers");
    manifest.layers = std::move(*layers);
    return manifest;
}

Result<ImageConfig> parseConfig(std::string_view text, const Limits& limits) {
    auto json = parse(text);
    if (!json) return forward(std::move(json));
    ImageConfig config;
    for (auto taken : {take(*json, "os", config.os), take(*json, "architecture", config.architecture)}) {
        if (!taken) return forward(std::move(taken));
    }
    if (config.os != "linux") return refuse("the image is for " + shown(config.os) + ", not linux");
    if (const auto* inner = member(*json, "config")) {
        if (!inner->is_object()) return refuse("'config' is not an object");
        for (auto taken : {take(*inner, "Entrypoint", config.entrypoint), take(*inner, "Cmd", config.cmd), take(*inner, "Env", config.env),
                           take(*inner, "WorkingDir", config.workdir), take(*inner, "Labels", config.labels)}) {
            if (!taken) return forward(std::move(taken));
        }
    }
    const auto* rootfs = member(*json, "rootfs");
    if (!rootfs || !rootfs->is_object()) return refuse("no 'rootfs'");
    std::vector<std::string> digests;
    if (auto taken = take(*rootfs, "diff_ids", digests); !taken) return forward(std::move(taken));
    if (digests.size() > limits.layers) return fail(Errc::LimitExceeded, "more than " + std::to_string(limits.layers) + " layers");
    for (const auto& digest : digests) {
        auto hex = parseDigest(digest);
        if (!hex) return forward(std::move(hex), "diff_ids");
        config.diffIds.push_back(std::move(*hex));
    }
    return config;
}

std::string printConfig(const ImageConfig& config) {
    Json inner = Json::object();
    if (!config.entrypoint.empty()) inner["Entrypoint"] = config.entrypoint;
    if (!config.cmd.empty()) inner["Cmd"] = config.cmd;
    if (!config.env.empty()) inner["Env"] = config.env;
    if (!config.workdir.empty()) inner["WorkingDir"] = config.workdir;
    if (!config.labels.empty()) inner["Labels"] = config.labels;
    Json diffIds = Json::array();
    for (const auto& id : config.diffIds) diffIds.push_back("sha256:" + id);
    const Json json{{"architecture", config.architecture},
                    {"os", config.os},
                    {"config", inner},
                    {"rootfs", {{"type", "layers"}, {"diff_ids", diffIds}}}};
    return json.dump();
}

std::string printManifest(const ManifestDocument& manifest) {
    Json layers = Json::array();
    for (const auto& layer : manifest.layers) layers.push_back(print(layer));
    return Json{{"schemaVersion", 2}, {"mediaType", media::kManifest}, {"config", print(manifest.config)}, {"layers", layers}}.dump();
}

std::string printIndex(const Descriptor& manifest) {
    return Json{{"schemaVersion", 2}, {"mediaType", media::kIndex}, {"manifests", Json::array({print(manifest)})}}.dump();
}

std::string_view hostArchitecture() {
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#elif defined(__riscv)
    return "riscv64";
#else
#error "name this architecture as OCI does"
#endif
}

std::uint32_t elfMachine(std::string_view architecture) {
    for (const auto& known : kArchitectures) {
        if (known.name == architecture) return known.machine;
    }
    return 0;
}

}  // namespace recap::image
