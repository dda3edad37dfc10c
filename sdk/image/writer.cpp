// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/writer.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/names.hpp"
#include "sdk/image/tar_writer.hpp"

namespace recap::image {
namespace {

namespace fs = std::filesystem;

Result<UniqueFd> createFile(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd) return failErrno("create " + path);
    return fd;
}

Result<void> writeFile(const std::string& path, std::string_view bytes) {
    auto fd = createFile(path);
    return fd ? writeAll(fd->get(), bytes) : forward(std::move(fd));
}

// The list with every folder on the way to its entries.
Result<FileList> withFolders(const FileList& files) {
    FileList all;
    for (const auto& [path, spec] : files) {
        auto clean = cleanName(path, {});
        if (!clean) return forward(std::move(clean));
        if (*clean != path) return fail(Errc::InvalidArgument, "entry " + shown(path) + ": not a clean relative path");
        for (auto slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
            auto [entry, added] = all.try_emplace(path.substr(0, slash), FileSpec{FileSpec::Kind::Directory, 0755, 0, {}, {}, {}});
            if (entry->second.kind != FileSpec::Kind::Directory)
                return fail(Errc::InvalidArgument, "entry " + shown(path) + ": " + shown(entry->first) + " is no folder");
        }
        all[path] = spec;
    }
    return all;
}

Result<void> putContent(TarWriter& tar, const FileSpec& spec, TarMember member, std::uint64_t& total) {
    if (spec.source.empty()) {
        member.size = spec.data.size();
        total += member.size;
        if (auto begun = tar.begin(member); !begun) return begun;
        if (auto put = tar.data(spec.data); !put) return put;
        return tar.end();
    }
    const UniqueFd fd(::open(spec.source.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return failErrno(spec.source);
    if (!S_ISREG(info.st_mode)) return fail(Errc::InvalidArgument, spec.source + ": not a regular file");
    member.size = static_cast<std::uint64_t>(info.st_size);
    total += member.size;
    if (auto begun = tar.begin(member); !begun) return begun;
    FdSource bytes(fd.get());
    std::vector<char> buffer(128 * 1024);
    for (;;) {
        auto got = bytes.read(buffer.data(), buffer.size());
        if (!got) return forward(std::move(got), spec.source);
        if (*got == 0) return tar.end();
        if (auto put = tar.data({buffer.data(), *got}); !put) return put;
    }
}

Result<void> putLayer(TarWriter& tar, const FileList& files, std::uint64_t& total) {
    for (const auto& [path, spec] : files) {
        TarMember member{path, TarMember::Kind::Regular, spec.mode, 0, 0, spec.mtime, 0, spec.link};
        if (spec.kind == FileSpec::Kind::Regular) {
            if (auto put = putContent(tar, spec, member, total); !put) return put;
            continue;
        }
        member.kind = spec.kind == FileSpec::Kind::Directory ? TarMember::Kind::Directory : TarMember::Kind::Symlink;
        if (auto begun = tar.begin(member); !begun) return begun;
        if (auto ended = tar.end(); !ended) return ended;
    }
    return tar.finish();
}

std::string_view suffix(Compression compression) {
    return compression == Compression::Gzip ? "+gzip" : compression == Compression::Zstd ? "+zstd" : "";
}

class LayoutWriter {
public:
    LayoutWriter(const ImageSpec& spec, std::string folder) : spec_(spec), folder_(std::move(folder)) {}

    Result<WrittenImage> run() {
        if (spec_.layers.empty()) return fail(Errc::InvalidArgument, "an image needs a layer");
        std::error_code error;
        fs::create_directories(folder_ + "/blobs/sha256", error);
        if (error) return fail(Errc::Io, "create " + folder_ + ": " + error.message());
        ManifestDocument manifest;
        auto config = spec_.config;
        if (config.architecture.empty()) config.architecture = hostArchitecture();
        config.diffIds.clear();
        for (const auto& files : spec_.layers) {
            auto layer = putLayerBlob(files, config);
            if (!layer) return forward(std::move(layer));
            manifest.layers.push_back(std::move(*layer));
        }
        auto configBlob = putDocument(printConfig(config), media::kConfig);
        if (!configBlob) return forward(std::move(configBlob));
        manifest.config = std::move(*configBlob);
        auto top = putDocument(printManifest(manifest), media::kManifest);
        if (!top) return forward(std::move(top));
        top->os = config.os;
        top->architecture = config.architecture;
        if (!spec_.reference.empty()) top->annotations[std::string(kReferenceAnnotation)] = spec_.reference;
        if (auto put = writeFile(folder_ + "/index.json", printIndex(*top)); !put) return forward(std::move(put));
        if (auto put = writeFile(folder_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})"); !put) return forward(std::move(put));
        return WrittenImage{top->digest, total_};
    }

private:
    Result<Descriptor> putDocument(const std::string& text, std::string_view type) {
        Descriptor descriptor{std::string(type), sha256(text), text.size(), {}, {}, {}};
        if (auto put = writeFile(folder_ + "/" + descriptor.blobPath(), text); !put) return forward(std::move(put));
        return descriptor;
    }

    Result<Descriptor> putLayerBlob(const FileList& files, ImageConfig& config) {
        auto all = withFolders(files);
        if (!all) return forward(std::move(all));
        const auto partial = folder_ + "/blobs/.layer";
        auto out = createFile(partial);
        if (!out) return forward(std::move(out));
        Sha256 packed;
        Sha256 plain;
        Descriptor descriptor;
        auto compressor = compress(
            [&](std::string_view bytes) {
                packed.update(bytes);
                descriptor.size += bytes.size();
                return writeAll(out->get(), bytes);
            },
            spec_.compression);
        if (!compressor) return forward(std::move(compressor));
        TarWriter tar([&](std::string_view bytes) {
            plain.update(bytes);
            return (*compressor)->put(bytes);
        });
        if (auto put = putLayer(tar, *all, total_); !put) return forward(std::move(put));
        if (auto done = (*compressor)->finish(); !done) return forward(std::move(done));
        descriptor.mediaType = std::string(media::kLayer) + std::string(suffix(spec_.compression));
        descriptor.digest = packed.hex();
        config.diffIds.push_back(plain.hex());
        if (::rename(partial.c_str(), (folder_ + "/" + descriptor.blobPath()).c_str()) != 0) return failErrno("rename " + partial);
        return descriptor;
    }

    const ImageSpec& spec_;
    std::string folder_;
    std::uint64_t total_ = 0;
};

// "oci-layout" and "index.json" first, so that a reader knows early what it holds.
Result<void> packFolder(const std::string& folder, int out) {
    FileList files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        FileSpec spec;
        spec.kind = entry.is_directory() ? FileSpec::Kind::Directory : FileSpec::Kind::Regular;
        spec.mode = entry.is_directory() ? 0755 : 0644;
        spec.source = entry.path();
        files[entry.path().lexically_relative(folder)] = spec;
    }
    TarWriter tar(fdSink(out));
    std::uint64_t total = 0;
    FileList first;
    for (const auto* name : {"oci-layout", "index.json"}) {
        auto node = files.extract(name);
        if (auto put = putContent(tar, node.mapped(), TarMember{name, TarMember::Kind::Regular, 0644, 0, 0, 0, 0, {}}, total); !put)
            return put;
    }
    return putLayer(tar, files, total);
}

}  // namespace

Result<WrittenImage> writeLayoutFolder(const ImageSpec& spec, const std::string& path) {
    std::error_code error;
    if (fs::exists(path, error) && !(fs::is_directory(path, error) && fs::is_empty(path, error))) {
        return fail(Errc::AlreadyExists, path + ": exists and is not an empty folder");
    }
    return LayoutWriter(spec, path).run();
}

Result<WrittenImage> writeOciArchive(const ImageSpec& spec, const std::string& path) {
    const auto partial = path + ".partial";
    std::string folder = path + ".layout-XXXXXX";
    if (!::mkdtemp(folder.data())) return failErrno("mkdtemp " + folder);
    auto written = LayoutWriter(spec, folder).run();
    auto packed = written ? createFile(partial) : tl::unexpected(written.error());
    Result<void> done = packed ? packFolder(folder, packed->get()) : Result<void>(forward(std::move(packed)));
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    if (done && ::rename(partial.c_str(), path.c_str()) != 0) done = failErrno("rename " + partial);
    if (!done) {
        ::unlink(partial.c_str());
        return forward(std::move(done));
    }
    return written;
}

}  // namespace recap::image
