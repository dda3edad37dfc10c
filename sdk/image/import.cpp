// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/import.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/image/beneath.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/layer.hpp"
#include "sdk/image/names.hpp"

namespace recap::image {
namespace {

// Passes a layer's bytes on, sums them up, and stops where there are too many.
class SummingSource : public ByteSource {
public:
    SummingSource(ByteSource& from, std::uint64_t limit) : from_(from), limit_(limit) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        auto got = from_.read(buffer, size);
        if (!got) return got;
        total_ += *got;
        if (total_ > limit_) return fail(Errc::LimitExceeded, "unpacked it is over " + std::to_string(limit_) + " bytes");
        sum_.update({buffer, *got});
        return got;
    }
    Result<std::string> finish() {
        std::vector<char> rest(64 * 1024);
        for (;;) {
            auto got = read(rest.data(), rest.size());
            if (!got) return forward(std::move(got));
            if (*got == 0) return sum_.hex();
        }
    }

private:
    ByteSource& from_;
    std::uint64_t limit_;
    std::uint64_t total_ = 0;
    Sha256 sum_;
};

class Importer {
public:
    Importer(Source& source, int staging, std::string_view architecture, const Limits& limits)
        : source_(source), staging_(staging), architecture_(architecture), budget_{limits} {}

    Result<ImportedImage> run() {
        auto chosen = choose();
        if (!chosen) return forward(std::move(chosen));
        image_.digest = chosen->digest;
        auto text = document(*chosen);
        if (!text) return forward(std::move(text), "manifest");
        auto manifest = parseManifest(*text, budget_.limits);
        if (!manifest) return forward(std::move(manifest), "manifest");
        text = document(manifest->config);
        if (!text) return forward(std::move(text), "config");
        auto config = parseConfig(*text, budget_.limits);
        if (!config) return forward(std::move(config), "config");
        if (config->diffIds.size() != manifest->layers.size()) {
            return fail(Errc::InvalidArgument, "config: " + std::to_string(config->diffIds.size()) + " diff_ids for " +
                                                   std::to_string(manifest->layers.size()) + " layers");
        }
        image_.config = std::move(*config);
        if (::mkdirat(staging_, "layers", 0700) != 0) return failErrno("mkdir layers");
        for (std::size_t i = 0; i < manifest->layers.size(); ++i) {
            if (auto done = layer(manifest->layers[i], image_.config.diffIds[i]); !done) {
                return forward(std::move(done), "layer sha256:" + manifest->layers[i].digest);
            }
        }
        image_.size = budget_.bytes;
        return std::move(image_);
    }

private:
    Result<std::string> smallFile(const std::string& path) {
        auto fd = source_.open(path);
        if (!fd) return forward(std::move(fd));
        auto text = readAll(fd->get(), budget_.limits.document);
        return text ? std::move(text) : forward(std::move(text), path);
    }

    Result<std::string> document(const Descriptor& descriptor) {
        auto text = smallFile(descriptor.blobPath());
        if (!text) return text;
        if (text->size() != descriptor.size || sha256(*text) != descriptor.digest) {
            return fail(Errc::InvalidArgument, "blob sha256:" + descriptor.digest + ": its bytes have another digest or size");
        }
        return text;
    }

    Result<Descriptor> choose() {
        auto marker = smallFile("oci-layout");
        if (!marker) return forward(std::move(marker), "no OCI layout");
        if (auto valid = parseLayoutMarker(*marker); !valid) return forward(std::move(valid));
        auto text = smallFile("index.json");
        if (!text) return forward(std::move(text));
        return chooseFrom(*text, "index.json", 0);
    }

    Result<Descriptor> chooseFrom(const std::string& text, const std::string& name, int depth) {
        constexpr int kMaxNesting = 2;
        auto index = parseIndex(text);
        if (!index) return forward(std::move(index), name);
        std::vector<Descriptor> fitting;
        std::string others;
        for (const auto& candidate : *index) {
            const bool anyPlatform = candidate.architecture.empty() || index->size() == 1;
            if (anyPlatform || (candidate.architecture == architecture_ && candidate.os == "linux")) {
                fitting.push_back(candidate);
            } else {
                others += (others.empty() ? "" : ", ") + shown(candidate.os + "/" + candidate.architecture);
            }
        }
        if (fitting.empty())
            return fail(Errc::InvalidArgument, name + ": no image for linux/" + std::string(architecture_) + ", only " +
                                                   (others.empty() ? "none at all" : others));
        if (fitting.size() > 1)
            return fail(Errc::Ambiguous, name + ": " + std::to_string(fitting.size()) + " images fit; give a layout that holds one");
        const auto reference = fitting.front().reference();
        if (image_.reference.empty()) image_.reference = reference;
        if (isManifestType(fitting.front().mediaType)) return fitting.front();
        if (!isIndexType(fitting.front().mediaType))
            return fail(Errc::InvalidArgument,
                        name + ": media type " + shown(fitting.front().mediaType) + " is neither an image's nor an index's");
        if (depth == kMaxNesting)
            return fail(Errc::LimitExceeded, name + ": indexes nested more than " + std::to_string(kMaxNesting) + " deep");
        auto nested = document(fitting.front());
        if (!nested) return forward(std::move(nested), name);
        return chooseFrom(*nested, "index sha256:" + fitting.front().digest, depth + 1);
    }

    Result<void> layer(const Descriptor& descriptor, const std::string& diffId) {
        auto compression = layerCompression(descriptor.mediaType);
        if (!compression) return forward(std::move(compression));
        if (auto checked = checkBlob(descriptor); !checked) return checked;
        const auto known = tables_.find(diffId);
        if (known != tables_.end()) {
            applyLayer(image_.files, known->second);
            return {};
        }
        const auto path = "layers/" + diffId;
        if (::mkdirat(staging_, path.c_str(), 0700) != 0) return failErrno("mkdir " + path);
        const auto folder = openBeneath(staging_, path, O_RDONLY | O_DIRECTORY);
        if (!folder) return failErrno(path);
        auto table = unpack(descriptor, *compression, folder.get(), diffId);
        if (!table) return forward(std::move(table));
        applyLayer(image_.files, *table);
        tables_.emplace(diffId, std::move(*table));
        return {};
    }

    Result<void> checkBlob(const Descriptor& descriptor) {
        auto blob = source_.open(descriptor.blobPath());
        if (!blob) return forward(std::move(blob));
        if (descriptor.size > budget_.limits.archiveBytes)
            return fail(Errc::LimitExceeded, "the blob is over " + std::to_string(budget_.limits.archiveBytes) + " bytes");
        auto sum = sha256OfFile(blob->get(), descriptor.size);
        if (!sum) return forward(std::move(sum), "the blob is");
        if (*sum != descriptor.digest) return fail(Errc::InvalidArgument, "the blob's bytes have the digest sha256:" + *sum);
        return {};
    }

    // The diff-id is of the very bytes that are unpacked, so that a blob changed after checkBlob() cannot pass.
    Result<FileTable> unpack(const Descriptor& descriptor, Compression compression, int folder, const std::string& diffId) {
        auto blob = source_.open(descriptor.blobPath());
        if (!blob) return forward(std::move(blob));
        FdSource bytes(blob->get());
        auto plain = decompress(bytes, compression);
        if (!plain) return forward(std::move(plain));
        SummingSource summed(**plain, budget_.limits.archiveBytes);
        auto tar = readTar(summed, Wrapping::Plain);
        if (!tar) return forward(std::move(tar));
        auto table = unpackLayer(**tar, folder, budget_);
        if (!table) return table;
        auto sum = summed.finish();
        if (!sum) return forward(std::move(sum));
        if (*sum != diffId)
            return fail(Errc::InvalidArgument, "unpacked it has the diff-id sha256:" + *sum + ", not the config's sha256:" + diffId);
        return table;
    }

    Source& source_;
    int staging_;
    std::string_view architecture_;
    Budget budget_;
    ImportedImage image_;
    std::map<std::string, FileTable> tables_;
};

}  // namespace

Result<ImportedImage> importImage(Source& source, int staging, std::string_view architecture, const Limits& limits) {
    return Importer(source, staging, architecture, limits).run();
}

}  // namespace recap::image
