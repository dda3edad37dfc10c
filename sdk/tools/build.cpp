// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "sdk/image/archive.hpp"
#include "sdk/image/writer.hpp"
#include "sdk/manifest/files.hpp"
#include "sdk/manifest/reader.hpp"
#include "sdk/tools/build_binaries.hpp"
#include "sdk/tools/build_packages.hpp"
#include "sdk/tools/verbs.hpp"

namespace recap::tools {
namespace {

namespace fs = std::filesystem;

struct Options {
    std::string capsule = ".";
    std::string output;
    std::string cache;
    std::string compression = "gzip";
    std::vector<std::string> binaryDirs;
    bool json = false;
};

struct Built {
    std::string reference;
    std::string output;
    image::WrittenImage image;
    std::map<std::string, std::string> packages;
    std::chrono::milliseconds took{0};
};

class ScratchFolder {
public:
    static Result<std::unique_ptr<ScratchFolder>> make() {
        std::string path = (fs::temp_directory_path() / "recap-capsule-XXXXXX").string();
        if (!::mkdtemp(path.data())) return failErrno(path);
        fs::permissions(
            path, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec | fs::perms::others_read | fs::perms::others_exec);
        return std::unique_ptr<ScratchFolder>(new ScratchFolder(path));
    }
    ~ScratchFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    const fs::path& path() const { return path_; }

private:
    explicit ScratchFolder(fs::path path) : path_(std::move(path)) {}
    fs::path path_;
};

fs::path defaultCache() {
    if (::geteuid() == 0) return "/var/cache/recap/packages";
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/') return fs::path(cache) / "recap/packages";
    const char* home = std::getenv("HOME");
    return fs::path(home && *home == '/' ? home : "/tmp") / ".cache/recap/packages";
}

Result<manifest::Manifest> readCapsule(const fs::path& file) {
    auto text = manifest::readText(file);
    if (!text) return forward(std::move(text));
    auto read = manifest::readManifest(*text, file.string());
    if (!read) return fail(Errc::InvalidArgument, manifest::join(read.diagnostics));
    if (!read.value->build) return fail(Errc::InvalidArgument, file.string() + ": no [build]: its image comes from elsewhere");
    if (!read.value->build->dockerfile.empty()) {
        return fail(
            Errc::NotSupported,
            file.string() + ": build.dockerfile needs buildah, which this version does not call; build.packages and build.binaries work");
    }
    return std::move(*read.value);
}

// Scripts stay executable; everybody may read all of it.
Result<void> addFiles(Rootfs& rootfs, const std::map<std::string, std::string>& files, const fs::path& folder) {
    for (const auto& [path, name] : files) {
        const fs::path source = folder / name;  // an absolute name stands for itself
        struct stat what {};
        if (::stat(source.c_str(), &what) != 0) return failErrno("file '" + name + "'");
        if (!S_ISREG(what.st_mode)) return fail(Errc::InvalidArgument, "file '" + name + "': not a regular file");
        if (auto added = rootfs.addFile(path, source, what.st_mode & S_IXUSR ? 0755 : 0644); !added) return added;
    }
    return {};
}

Result<std::map<std::string, std::string>> fill(Rootfs& rootfs, const manifest::Manifest& capsule, const fs::path& folder,
                                                const fs::path& scratch, const Options& options) {
    if (!capsule.output.artifacts.empty()) rootfs.addFolder(capsule.output.artifacts, 0755);
    if (!capsule.build->packages.empty()) {
        return addPackages(rootfs, capsule.build->packages,
                           {scratch, options.cache.empty() ? defaultCache() : fs::absolute(options.cache)});
    }
    std::vector<fs::path> folders{folder};
    folders.insert(folders.end(), options.binaryDirs.begin(), options.binaryDirs.end());
    if (auto added = addBinaries(rootfs, capsule.build->binaries, folders); !added) return forward(std::move(added));
    return std::map<std::string, std::string>{};
}

image::ImageSpec specFor(const manifest::Manifest& capsule, const std::map<std::string, std::string>& packages, const Options& options) {
    image::ImageSpec spec;
    spec.reference = capsule.image.substr(0, capsule.image.find('@'));
    spec.compression = options.compression == "none"   ? image::Compression::None
                       : options.compression == "zstd" ? image::Compression::Zstd
                                                       : image::Compression::Gzip;
    spec.config.cmd = capsule.command;
    spec.config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    spec.config.workdir = capsule.workdir;
    spec.config.labels["org.recap1.capsule"] = capsule.name;
    spec.config.labels["org.opencontainers.image.version"] = capsule.version;
    for (const auto& [name, version] : packages) spec.config.labels["org.recap1.package." + name] = version;
    return spec;
}

Result<Built> buildImage(const Options& options) {
    const auto start = std::chrono::steady_clock::now();
    image::prepareArchives();
    fs::path file = options.capsule;
    std::error_code ignored;
    if (fs::is_directory(file, ignored)) file /= "capsule.toml";
    auto capsule = readCapsule(file);
    if (!capsule) return forward(std::move(capsule));
    auto scratch = ScratchFolder::make();
    if (!scratch) return forward(std::move(scratch));
    const auto contents = (*scratch)->path() / "contents";
    fs::create_directory(contents);
    Rootfs rootfs(contents);
    Built built;
    auto packages = fill(rootfs, *capsule, fs::absolute(file).parent_path(), (*scratch)->path(), options);
    if (!packages) return forward(std::move(packages));
    built.packages = std::move(*packages);
    auto spec = specFor(*capsule, built.packages, options);
    if (auto added = addFiles(rootfs, capsule->build->files, fs::absolute(file).parent_path()); !added) return forward(std::move(added));
    for (const auto& [path, to] : capsule->build->links) rootfs.addLink(path, to);
    const bool overlaid = capsule->sandbox.view == manifest::View::Merged;
    spec.layers.push_back(rootfs.take(overlaid ? Rootfs::Tops::Folders : Rootfs::Tops::Links));
    built.reference = spec.reference;
    built.output = options.output.empty() ? capsule->name + ".tar" : options.output;
    const bool archive = fs::path(built.output).extension() == ".tar";
    auto written = archive ? image::writeOciArchive(spec, built.output) : image::writeLayoutFolder(spec, built.output);
    if (!written) return forward(std::move(written));
    built.image = std::move(*written);
    built.took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    return built;
}

int build(const Options& options) {
    const auto built = buildImage(options);
    if (options.json) {
        const auto json = built ? nlohmann::json{{"reference", built->reference}, {"digest", "sha256:" + built->image.digest},
                                                 {"output", built->output},       {"size", built->image.size},
                                                 {"packages", built->packages},   {"milliseconds", built->took.count()}}
                                : nlohmann::json{{"error", {{"name", name(built.error().code)}, {"message", built.error().message}}}};
        fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
        return built ? 0 : 1;
    }
    if (!built) {
        fmt::print(stderr, "recap-capsule build: {}\n", built.error().message);
        return 1;
    }
    for (const auto& [package, version] : built->packages) fmt::print("{} {}\n", package, version);
    fmt::print("built {} as {}: sha256:{}, {:.1f} MB unpacked, in {:.1f} s\n", built->reference, built->output, built->image.digest,
               static_cast<double>(built->image.size) / 1e6, static_cast<double>(built->took.count()) / 1e3);
    return 0;
}

}  // namespace

void addBuild(cli::Verb& top) {
    auto options = std::make_shared<Options>();
    top.verb("build", "Make a capsule's image by its [build]: an oci-archive, or an OCI layout folder",
             [options] { return build(*options); })
        .optionalOperand("CAPSULE", &options->capsule, "A capsule.toml, or a folder that holds one (default: here)")
        .option("-o,--output", options->output, "An archive where the name ends in .tar, else a folder (default: NAME.tar)")
        .list("--binary-dir", options->binaryDirs, "Where to look for build.binaries beside the capsule's folder; may be repeated")
        .option("--package-cache", options->cache, "Where fetched packages are kept between builds")
        .option("--compression", options->compression, "Of the layer", {"none", "gzip", "zstd"})
        .flag("--json", options->json, "One object, and nothing else");
}

}  // namespace recap::tools
