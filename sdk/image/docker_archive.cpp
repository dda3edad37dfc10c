// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/docker_archive.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "sdk/image/beneath.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/json.hpp"
#include "sdk/image/names.hpp"
#include "sdk/image/oci.hpp"
#include "sdk/image/stream.hpp"

namespace recap::image {
namespace {

constexpr std::string_view kDocument = ".json";
constexpr std::string_view kDigestPrefix = "sha256:";  // of a config's name, as some write it

// The digest that a config's name says it has; empty: it says none.
std::string_view digestInName(std::string_view path) {
    if (path.ends_with(kDocument)) path.remove_suffix(kDocument.size());
    if (path.starts_with(kDigestPrefix)) path.remove_prefix(kDigestPrefix.size());
    return isHexDigest(path) ? path : std::string_view();
}

Result<Compression> compressionOf(int file) {
    constexpr std::string_view gzip("\x1f\x8b", 2);
    constexpr std::string_view zstd("\x28\xb5\x2f\xfd", 4);
    char bytes[4]{};
    const auto got = ::pread(file, bytes, sizeof bytes, 0);
    if (got < 0) return failErrno("read");
    const std::string_view start(bytes, static_cast<std::size_t>(got));
    return start.starts_with(gzip) ? Compression::Gzip : start.starts_with(zstd) ? Compression::Zstd : Compression::None;
}

std::string layerType(Compression compression) {
    const std::string plain(media::kLayer);
    return compression == Compression::Gzip ? plain + "+gzip" : compression == Compression::Zstd ? plain + "+zstd" : plain;
}

class Converter {
public:
    Converter(const LayoutFiles& files, int spool, const Limits& limits) : files_(files), spool_(spool), limits_(limits) {}

    Result<LayoutFiles> run() {
        auto text = document("manifest.json");
        if (!text) return forward(std::move(text));
        auto image = parseDockerManifest(*text, limits_);
        if (!image) return forward(std::move(image), "manifest.json");
        auto diffIds = config(image->config);
        if (!diffIds) return forward(std::move(diffIds), "config " + shown(image->config));
        if (diffIds->size() != image->layers.size()) {
            return refuse("config: " + std::to_string(diffIds->size()) + " diff_ids for " + std::to_string(image->layers.size()) +
                          " layers of manifest.json");
        }
        for (std::size_t i = 0; i < image->layers.size(); ++i) {
            if (auto taken = layer(image->layers[i], (*diffIds)[i]); !taken)
                return forward(std::move(taken), "layer " + shown(image->layers[i]));
        }
        if (auto put = finish(image->reference); !put) return forward(std::move(put));
        return std::move(layout_);
    }

private:
    // From its start, and independent of who else reads the same.
    Result<UniqueFd> open(const std::string& path) const {
        auto clean = cleanName(path, limits_);
        if (!clean) return forward(std::move(clean));
        const auto found = files_.find(*clean);
        if (found == files_.end()) return fail(Errc::NotFound, "the archive does not have it");
        UniqueFd copy(::fcntl(found->second.get(), F_DUPFD_CLOEXEC, 3));
        if (!copy || ::lseek(copy.get(), 0, SEEK_SET) != 0) return failErrno("open");
        return copy;
    }

    Result<std::string> document(const std::string& path) const {
        auto file = open(path);
        if (!file) return forward(std::move(file), path);
        auto text = readAll(file->get(), limits_.document);
        return text ? std::move(text) : forward(std::move(text), path);
    }

    Result<std::vector<std::string>> config(const std::string& path) {
        auto text = document(path);
        if (!text) return forward(std::move(text));
        const auto digest = sha256(*text);
        const auto said = digestInName(path);
        if (!said.empty() && said != digest) return refuse("its bytes have the digest sha256:" + digest);
        auto parsed = parseConfig(*text, limits_);
        if (!parsed) return forward(std::move(parsed));
        manifest_.config = describe(media::kConfig, digest, text->size());
        if (auto put = add(manifest_.config.blobPath(), *text); !put) return forward(std::move(put));
        return std::move(parsed->diffIds);
    }

    // A layer that is not compressed is its blob, whose digest the importer takes anyway.
    Result<void> layer(const std::string& path, const std::string& diffId) {
        auto file = open(path);
        if (!file) return forward(std::move(file));
        struct stat info {};
        if (::fstat(file->get(), &info) != 0) return failErrno("stat");
        const auto size = static_cast<std::uint64_t>(info.st_size);
        auto compression = compressionOf(file->get());
        if (!compression) return forward(std::move(compression));
        auto digest = *compression == Compression::None ? Result<std::string>(diffId) : sha256OfFile(file->get(), size);
        if (!digest) return forward(std::move(digest));
        manifest_.layers.push_back(describe(layerType(*compression), *digest, size));
        layout_.try_emplace(manifest_.layers.back().blobPath(), std::move(*file));
        return {};
    }

    Result<void> finish(const std::string& reference) {
        const auto text = printManifest(manifest_);
        auto descriptor = describe(media::kManifest, sha256(text), text.size());
        if (!reference.empty()) descriptor.annotations[std::string(kReferenceAnnotation)] = reference;
        if (auto put = add(descriptor.blobPath(), text); !put) return put;
        if (auto put = add("index.json", printIndex(descriptor)); !put) return put;
        return add("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    }

    static Descriptor describe(std::string_view type, const std::string& digest, std::uint64_t size) {
        Descriptor descriptor;
        descriptor.mediaType = type;
        descriptor.digest = digest;
        descriptor.size = size;
        return descriptor;
    }

    Result<void> add(const std::string& path, const std::string& text) {
        auto file = namelessFile(spool_);
        if (!file) return forward(std::move(file));
        if (auto put = writeAll(file->get(), text); !put) return forward(std::move(put), "spool");
        layout_.insert_or_assign(path, std::move(*file));
        return {};
    }

    const LayoutFiles& files_;
    int spool_;
    Limits limits_;
    ManifestDocument manifest_;
    LayoutFiles layout_;
};

}  // namespace

bool mayBelongToDocker(std::string_view path) {
    if (std::count(path.begin(), path.end(), '/') > 1) return false;
    const bool layer = path.ends_with(".tar") || path.ends_with(".tar.gz");
    return layer || (path.find('/') == path.npos && (path.ends_with(kDocument) || !digestInName(path).empty()));
}

Result<DockerImage> parseDockerManifest(std::string_view text, const Limits& limits) {
    const auto json = Json::parse(text.begin(), text.end(), nullptr, false);
    if (json.is_discarded()) return refuse("not JSON");
    if (!json.is_array() || json.empty() || !json.front().is_object()) return refuse("not a list of images");
    if (json.size() > 1) return fail(Errc::Ambiguous, std::to_string(json.size()) + " images; save one alone");
    DockerImage image;
    std::vector<std::string> tags;
    for (auto taken :
         {take(json.front(), "Config", image.config), take(json.front(), "Layers", image.layers), take(json.front(), "RepoTags", tags)}) {
        if (!taken) return forward(std::move(taken));
    }
    if (image.config.empty()) return refuse("no 'Config'");
    if (image.layers.empty()) return refuse("the image has no layers");
    if (image.layers.size() > limits.layers)
        return fail(Errc::LimitExceeded, "'Layers' has more than " + std::to_string(limits.layers) + " entries");
    if (!tags.empty()) image.reference = std::move(tags.front());
    return image;
}

Result<LayoutFiles> layoutOfDocker(const LayoutFiles& files, int spool, const Limits& limits) {
    return Converter(files, spool, limits).run();
}

}  // namespace recap::image
