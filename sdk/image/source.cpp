// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/source.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "sdk/image/archive.hpp"
#include "sdk/image/beneath.hpp"
#include "sdk/image/digest.hpp"
#include "sdk/image/docker_archive.hpp"
#include "sdk/image/names.hpp"

namespace recap::image {
namespace {

constexpr std::size_t kMaxFiles = 400;
constexpr std::string_view kBlobs = "blobs/sha256/";

Error tooMany() { return {Errc::LimitExceeded, "the layout has more than " + std::to_string(kMaxFiles) + " files"}; }

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

// Every file of the layout by its descriptor.
class OpenFiles : public Source {
public:
    Result<UniqueFd> open(const std::string& path) override {
        const auto found = files_.find(path);
        if (found == files_.end()) return fail(Errc::NotFound, "layout file '" + path + "': the layout does not have it");
        if (::lseek(found->second.get(), 0, SEEK_SET) != 0) return failErrno("layout file '" + path + "'");
        UniqueFd copy(::fcntl(found->second.get(), F_DUPFD_CLOEXEC, 3));
        if (!copy) return failErrno("layout file '" + path + "'");
        return copy;
    }

protected:
    LayoutFiles files_;
};

class FolderFiles : public OpenFiles {
public:
    Result<void> fill(int folder) {
        for (const auto* name : {"oci-layout", "index.json"}) {
            if (auto taken = take(folder, name); !taken) return taken;
        }
        auto blobs = openBeneath(folder, std::string(kBlobs), O_RDONLY | O_DIRECTORY);
        if (!blobs) return failErrno("layout folder '" + std::string(kBlobs) + "'");
        const std::unique_ptr<DIR, CloseFolder> listing(::fdopendir(blobs.get()));
        if (!listing) return failErrno("layout folder '" + std::string(kBlobs) + "'");
        blobs.release();
        while (const auto* entry = ::readdir(listing.get())) {
            if (!isHexDigest(entry->d_name)) continue;
            if (files_.size() == kMaxFiles) return tl::unexpected<Error>(tooMany());
            if (auto taken = take(folder, std::string(kBlobs) + entry->d_name); !taken) return taken;
        }
        return {};
    }

private:
    Result<void> take(int folder, const std::string& path) {
        auto fd = openBeneath(folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct stat info {};
        if (!fd || ::fstat(fd.get(), &info) != 0) return failErrno("layout file '" + path + "'");
        if (!S_ISREG(info.st_mode)) return fail(Errc::InvalidArgument, "layout file '" + path + "': not a regular file");
        files_.emplace(path, std::move(fd));
        return {};
    }
};

class SpooledFiles : public OpenFiles {
public:
    SpooledFiles(int spool, const Limits& limits) : spool_(spool), limits_(limits) {}

    Result<void> fill(ArchiveReader& archive) {
        std::uint32_t entries = 0;
        for (;;) {
            auto entry = archive.next();
            if (!entry) return forward(std::move(entry));
            if (!*entry) return settle();
            if (++entries > limits_.entries) {
                return fail(Errc::LimitExceeded, "the archive has more than " + std::to_string(limits_.entries) + " entries");
            }
            auto path = cleanName((*entry)->path, limits_);
            if (!path) return forward(std::move(path), "archive");
            if (auto kept = keep(archive, **entry, *path); !kept) return forward(std::move(kept), "archive entry " + shown(*path));
        }
    }

private:
    static bool isOfLayout(const std::string& path) {
        return path == "oci-layout" || path == "index.json" ||
               (path.starts_with(kBlobs) && isHexDigest(std::string_view(path).substr(kBlobs.size())));
    }

    // All is there: an OCI layout as it is (newer Dockers add their own manifest.json to one), or what is read as one.
    Result<void> settle() {
        if (files_.contains("oci-layout") || !files_.contains("manifest.json")) {
            const bool any = std::any_of(files_.begin(), files_.end(), [](const auto& file) { return isOfLayout(file.first); });
            return any ? Result<void>{} : fail(Errc::InvalidArgument, "the archive holds neither an OCI layout nor a docker archive");
        }
        for (const auto& [path, target] : links_) {
            const auto found = files_.find(target);
            if (found == files_.end() || links_.contains(target))
                return fail(Errc::InvalidArgument,
                            "archive entry " + shown(path) + ": a link to " + shown(target) + ", which is no file of the archive");
            UniqueFd copy(::fcntl(found->second.get(), F_DUPFD_CLOEXEC, 3));
            if (!copy) return failErrno("archive entry " + shown(path));
            files_.emplace(path, std::move(copy));
        }
        auto layout = layoutOfDocker(files_, spool_, limits_);
        if (!layout) return forward(std::move(layout), "docker archive");
        files_ = std::move(*layout);
        return {};
    }

    Result<void> keep(ArchiveReader& archive, const ArchiveEntry& entry, const std::string& path) {
        if (entry.kind == ArchiveEntry::Kind::Directory || !(isOfLayout(path) || mayBelongToDocker(path))) return {};
        if (files_.size() + links_.size() == kMaxFiles) return tl::unexpected<Error>(tooMany());
        if (files_.contains(path) || links_.contains(path)) return fail(Errc::InvalidArgument, "the archive has it twice");
        if (entry.kind == ArchiveEntry::Kind::Symlink && !isOfLayout(path)) return keepLink(entry, path);
        if (entry.kind != ArchiveEntry::Kind::Regular) return fail(Errc::InvalidArgument, "not a regular file");
        return keepFile(archive, entry, path);
    }

    // A layer that the archive has already is a link of its name to it: "../ID/layer.tar".
    Result<void> keepLink(const ArchiveEntry& entry, const std::string& path) {
        constexpr std::string_view up = "../";
        std::string_view target = entry.link;
        std::string folder(splitPath(path).first);
        if (!folder.empty() && target.starts_with(up)) {
            target.remove_prefix(up.size());
            folder.clear();
        }
        if (target.starts_with('/')) return fail(Errc::InvalidArgument, "a link to " + shown(target) + ", out of the archive");
        auto clean = cleanName(folder.empty() ? std::string(target) : folder + "/" + std::string(target), limits_);
        if (!clean) return forward(std::move(clean), "a link to " + shown(entry.link));
        links_.emplace(path, std::move(*clean));
        return {};
    }

    Result<void> keepFile(ArchiveReader& archive, const ArchiveEntry& entry, const std::string& path) {
        if (entry.size < 0 || static_cast<std::uint64_t>(entry.size) > limits_.archiveBytes - bytes_) {
            return fail(Errc::LimitExceeded, "the archive's contents are over " + std::to_string(limits_.archiveBytes) + " bytes");
        }
        bytes_ += static_cast<std::uint64_t>(entry.size);
        auto file = namelessFile(spool_);
        if (!file) return forward(std::move(file));
        for (;;) {
            auto block = archive.data();
            if (!block) return forward(std::move(block));
            if (!*block) break;
            // a sparse member may say that it has no size, and then bring any number of bytes
            if ((*block)->offset + (*block)->bytes.size() > static_cast<std::uint64_t>(entry.size))
                return fail(Errc::InvalidArgument, "is longer than it says");
            if (::lseek(file->get(), static_cast<off_t>((*block)->offset), SEEK_SET) < 0) return failErrno("spool");
            if (auto put = writeAll(file->get(), (*block)->bytes); !put) return forward(std::move(put), "spool");
        }
        files_.emplace(path, std::move(*file));
        return {};
    }

    int spool_;
    Limits limits_;
    std::uint64_t bytes_ = 0;
    std::map<std::string, std::string> links_;  // clean names both
};

// Who writes an archive into a pipe comes to its end: what pads it behind its last member is read, and dropped.
void readPadding(ByteSource& bytes) {
    constexpr std::size_t kMaxPadding = 1 << 20;
    std::vector<char> buffer(64 * 1024);
    for (std::size_t total = 0; total < kMaxPadding;) {
        const auto got = bytes.read(buffer.data(), buffer.size());
        if (!got || *got == 0) return;
        total += *got;
    }
}

}  // namespace

Result<std::unique_ptr<Source>> openFolder(int folder) {
    auto source = std::make_unique<FolderFiles>();
    if (auto filled = source->fill(folder); !filled) return forward(std::move(filled));
    return source;
}

Result<std::unique_ptr<Source>> openArchive(int archive, int spool, const Limits& limits) {
    FdSource bytes(archive);
    auto reader = readTar(bytes, Wrapping::AnyCompression);
    if (!reader) return forward(std::move(reader), "archive");
    auto source = std::make_unique<SpooledFiles>(spool, limits);
    if (auto filled = source->fill(**reader); !filled) return forward(std::move(filled));
    readPadding(bytes);
    return source;
}

}  // namespace recap::image
