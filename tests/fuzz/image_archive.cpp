// SPDX-License-Identifier: Apache-2.0
// An archive of an image, as far as it is read before its layers are: recap-unpack does it in its jail, of what anybody made.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sdk/image/archive.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/docker_archive.hpp"
#include "sdk/image/oci.hpp"
#include "sdk/image/source.hpp"
#include "sdk/image/stream.hpp"
#include "sdk/image/tar_writer.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

namespace {

using namespace image;
using Kind = TarMember::Kind;

constexpr std::string_view kConfig = R"({"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:)";

struct File {
    std::string path;
    Kind kind;
    std::string content;  // of a link: what it leads to
};

std::string tar(const std::vector<File>& files) {
    std::string bytes;
    TarWriter writer([&](std::string_view more) {
        bytes += more;
        return Result<void>();
    });
    for (const auto& file : files) {
        TarMember member;
        member.path = file.path;
        member.kind = file.kind;
        if (file.kind == Kind::Regular) member.size = file.content.size();
        if (file.kind == Kind::Symlink) member.link = file.content;
        promise(writer.begin(member) && writer.data(file.content) && writer.end(), "a tar in memory is written");
    }
    promise(writer.finish().has_value(), "a tar in memory is written");
    return bytes;
}

std::string dockerArchive() {
    const std::string config = std::string(kConfig) + sha256("x") + R"(","sha256:)" + sha256("x") + R"("]}})";
    return tar({{"a/layer.tar", Kind::Regular, "x"},
                {"b/layer.tar", Kind::Symlink, "../a/layer.tar"},
                {"c.json", Kind::Regular, config},
                {"manifest.json", Kind::Regular, R"([{"Config":"c.json","RepoTags":["t:1"],"Layers":["a/layer.tar","b/layer.tar"]}])"}});
}

// Where the files of an archive are kept, nameless; gone with the process.
class Spool {
public:
    Spool() {
        promise(::mkdtemp(name_) != nullptr, "a folder for the spool");
        folder_.reset(::open(name_, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    ~Spool() { ::rmdir(name_); }
    Spool(const Spool&) = delete;
    Spool& operator=(const Spool&) = delete;
    int get() const { return folder_.get(); }

private:
    char name_[32] = "/tmp/recap-fuzz-XXXXXX";
    UniqueFd folder_;
};

}  // namespace

std::vector<std::string> seeds() {
    return {dockerArchive(), tar({{"oci-layout", Kind::Regular, R"({"imageLayoutVersion":"1.0.0"})"}, {"index.json", Kind::Regular, "{}"}}),
            tar({{"manifest.json", Kind::Regular, "[]"}})};
}

void input(std::string_view bytes) {
    static const Spool spool;
    static_cast<void>(parseDockerManifest(bytes, {}));
    prepareArchives();
    const UniqueFd archive(::memfd_create("archive", MFD_CLOEXEC));
    promise(writeAll(archive.get(), bytes) && ::lseek(archive.get(), 0, SEEK_SET) == 0, "the archive is written");
    Limits limits;
    limits.archiveBytes = 1 << 20;
    const auto source = openArchive(archive.get(), spool.get(), limits);
    if (!source) return;
    for (const auto* path : {"oci-layout", "index.json"}) {
        const auto file = (*source)->open(path);
        if (!file) continue;  // of a layout that lacks it
        const auto text = readAll(file->get(), limits.document);
        if (text) static_cast<void>(parseIndex(*text));
    }
}

}  // namespace recap::fuzz
