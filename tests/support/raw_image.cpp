// SPDX-License-Identifier: Apache-2.0
#include "tests/support/raw_image.hpp"

#include <openssl/sha.h>
#include <zlib.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "tests/support/files.hpp"
#include "tests/support/raw_tar.hpp"

namespace recap::test {
namespace fs = std::filesystem;

std::string sha256Hex(const std::string& bytes) {
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), sum);
    std::string text;
    for (const auto byte : sum) text += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    return text;
}

std::string gzipped(const std::string& bytes) {
    z_stream stream{};
    if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("deflateInit2");
    std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

namespace {

std::string descriptor(const std::string& type, const std::string& blob, const std::string& more = {}) {
    return R"({"mediaType":")" + type + R"(","digest":"sha256:)" + sha256Hex(blob) + R"(","size":)" + std::to_string(blob.size()) + more +
           "}";
}

std::string join(const std::vector<std::string>& parts) {
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : ",") + part;
    return text;
}

std::string configOf(const RawImage& image) {
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < image.layers.size(); ++i)
        ids.push_back("\"sha256:" + (image.diffIds.empty() ? sha256Hex(image.layers[i]) : image.diffIds.at(i)) + "\"");
    return R"({"os":"linux","architecture":")" + image.architecture + R"(","rootfs":{"type":"layers","diff_ids":[)" + join(ids) + "]}" +
           image.configExtra + "}";
}

}  // namespace

std::string writeRawImage(const RawImage& image, const fs::path& folder) {
    const auto blobs = folder / "blobs/sha256";
    fs::create_directories(blobs);
    const auto put = [&](const std::string& bytes, const std::string& tail = {}) { writeFile(blobs / sha256Hex(bytes), bytes + tail); };
    std::vector<std::string> layers;
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
        const auto& blob = image.blobs.empty() ? image.layers[i] : image.blobs.at(i);
        put(blob, i + 1 == image.layers.size() ? image.corruptBlob : "");
        layers.push_back(descriptor(image.mediaType, blob));
    }
    const auto config = configOf(image);
    put(config);
    const auto manifest = R"({"schemaVersion":2,"config":)" + descriptor("application/vnd.oci.image.config.v1+json", config) +
                          R"(,"layers":[)" + join(layers) + "]}";
    put(manifest);
    const auto annotations =
        image.reference.empty() ? "" : R"(,"annotations":{"org.opencontainers.image.ref.name":")" + image.reference + R"("})";
    writeFile(folder / "index.json", R"({"schemaVersion":2,"manifests":[)" +
                                         descriptor("application/vnd.oci.image.manifest.v1+json", manifest, annotations) + "]}");
    writeFile(folder / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    return sha256Hex(manifest);
}

std::string rawArchive(const fs::path& layoutFolder) {
    std::vector<RawMember> members;
    for (const auto& entry : fs::recursive_directory_iterator(layoutFolder)) {
        const auto name = entry.path().lexically_relative(layoutFolder).string();
        if (entry.is_directory()) {
            members.push_back({.name = name + "/", .type = '5', .mode = 0755});
        } else {
            members.push_back({.name = name, .content = readFile(entry.path())});
        }
    }
    return rawTar(members);
}

std::vector<RawMember> rawDockerArchive(const RawImage& image) {
    std::vector<RawMember> members;
    std::map<std::string, std::string> known;
    std::vector<std::string> layers;
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
        const auto& blob = image.blobs.empty() ? image.layers[i] : image.blobs.at(i);
        const auto id = sha256Hex("layer " + std::to_string(i));
        const auto [first, isNew] = known.try_emplace(blob, id);
        members.push_back({.name = id + "/", .type = '5', .mode = 0755});
        members.push_back({.name = id + "/VERSION", .content = "1.0"});
        members.push_back({.name = id + "/json", .content = "{}"});
        if (isNew)
            members.push_back({.name = id + "/layer.tar", .content = blob});
        else
            members.push_back({.name = id + "/layer.tar", .type = '2', .link = "../" + first->second + "/layer.tar"});
        layers.push_back("\"" + id + "/layer.tar\"");
    }
    const auto config = configOf(image);
    const auto name = sha256Hex(config) + ".json";
    members.push_back({.name = name, .content = config});
    const auto tags = image.reference.empty() ? "null" : "[\"" + image.reference + "\"]";
    members.push_back({.name = "manifest.json",
                       .content = R"([{"Config":")" + name + R"(","RepoTags":)" + tags + R"(,"Layers":[)" + join(layers) + "]}]"});
    members.push_back({.name = "repositories", .content = "{}"});
    std::sort(members.begin(), members.end(), [](const auto& one, const auto& other) { return one.name < other.name; });
    return members;
}

}  // namespace recap::test
