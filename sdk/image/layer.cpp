// SPDX-License-Identifier: Apache-2.0
#include "sdk/image/layer.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <limits>

#include "sdk/image/beneath.hpp"
#include "sdk/image/names.hpp"

namespace recap::image {
namespace {

using Kind = ArchiveEntry::Kind;

constexpr std::uint32_t kFolderMode = 01777;  // sticky stays
constexpr std::uint32_t kFileMode = 0777;

tl::unexpected<Error> refuse(std::string why) { return fail(Errc::InvalidArgument, std::move(why)); }

std::string_view kindName(Kind kind) {
    switch (kind) {
        case Kind::Device: return "a device";
        case Kind::Fifo: return "a fifo";
        case Kind::Socket: return "a socket";
        default: return "of a kind that a layer cannot have";
    }
}

struct Metadata {
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint32_t mode = 0;
    std::int64_t mtime = 0;
};

class LayerUnpacker {
public:
    LayerUnpacker(ArchiveReader& tar, int folder, Budget& budget) : tar_(tar), folder_(folder), budget_(budget) {}

    Result<FileTable> run() {
        for (;;) {
            auto entry = tar_.next();
            if (!entry) return forward(std::move(entry));
            if (!*entry) break;
            if (auto done = take(**entry); !done) return forward(std::move(done));
        }
        if (auto done = finishFolders(); !done) return forward(std::move(done));
        return std::move(table_);
    }

private:
    Result<void> take(const ArchiveEntry& entry) {
        auto path = cleanName(entry.path, budget_.limits);
        if (!path) return forward(std::move(path));
        if (++budget_.entries > budget_.limits.entries) {
            return fail(Errc::LimitExceeded,
                        "entry " + shown(*path) + ": more than " + std::to_string(budget_.limits.entries) + " entries");
        }
        auto whiteout = whiteoutOf(*path);
        if (!whiteout) return forward(std::move(whiteout));
        auto made = make(entry, *path, *whiteout);
        return made ? Result<void>{} : forward(std::move(made), "entry " + shown(*path));
    }

    Result<void> make(const ArchiveEntry& entry, const std::string& path, const Whiteout& whiteout) {
        for (const auto& name : entry.xattrs) {
            if (name.starts_with("trusted.") || name.find("overlay") != name.npos)
                return refuse("extended attribute " + shown(name) + " is not a layer's to set");
        }
        if (entry.uid < 0 || entry.gid < 0 || entry.uid > std::numeric_limits<std::int32_t>::max() ||
            entry.gid > std::numeric_limits<std::int32_t>::max()) {
            return refuse("its owner is not a user or group id");
        }
        if (whiteout.kind == Whiteout::Kind::Opaque) return makeOpaque(whiteout.hidden);
        if (whiteout.kind == Whiteout::Kind::Name) return makeWhiteout(whiteout.hidden);
        switch (entry.kind) {
            case Kind::Directory: return makeFolder(entry, path);
            case Kind::Regular: return makeFile(entry, path);
            case Kind::Symlink: return makeSymlink(entry, path);
            case Kind::HardLink: return makeHardLink(entry, path);
            default: return refuse("it is " + std::string(kindName(entry.kind)) + "; layers hold files, folders and links only");
        }
    }

    // The folder that is to hold `path`, made with its parents where the archive left them out.
    Result<int> parentOf(std::string_view path) {
        const auto [parent, base] = splitPath(path);
        if (parent_ && parent == parentPath_) return parent_.get();
        if (auto made = ensureFolder(std::string(parent)); !made) return forward(std::move(made));
        parent_ = openBeneath(folder_, std::string(parent), O_RDONLY | O_DIRECTORY);
        parentPath_ = parent;
        if (!parent_) return failErrno("folder " + shown(parent));
        return parent_.get();
    }

    Result<void> ensureFolder(const std::string& path) {
        const auto found = table_.find(path);
        if (path.empty() || (found != table_.end() && found->second.kind == FileEntry::Kind::Directory)) return {};
        if (found != table_.end()) {
            return refuse("its way leads through " + shown(path) + ", which is " +
                          (found->second.kind == FileEntry::Kind::Symlink ? "a symbolic link" : "not a folder") + " in this layer");
        }
        const auto [parent, base] = splitPath(path);
        if (auto made = ensureFolder(std::string(parent)); !made) return made;
        const auto holder = openBeneath(folder_, std::string(parent), O_RDONLY | O_DIRECTORY);
        if (!holder || ::mkdirat(holder.get(), std::string(base).c_str(), 0700) != 0) return failErrno("mkdir");
        note(path, {FileEntry::Kind::Directory, 0755, {}, false});
        folders_[path] = {0, 0, 0755, 0};
        return {};
    }

    Result<void> makeFolder(const ArchiveEntry& entry, const std::string& path) {
        if (auto made = ensureFolder(path); !made) return made;
        const auto mode = entry.mode & kFolderMode;
        const auto opaque = path.empty() ? table_[""].opaque : table_.at(path).opaque;
        note(path, {FileEntry::Kind::Directory, mode, {}, opaque});
        folders_[path] = {static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid), mode, entry.mtime};
        return {};
    }

    // For everything that is not a folder: its holder, after the check that nothing of that name is there yet.
    Result<int> placeFor(const std::string& path) {
        if (path.empty()) return refuse("the layer's root can only be a folder");
        if (table_.contains(path)) return refuse("the layer has an entry of that name already");
        return parentOf(path);
    }

    Result<void> makeFile(const ArchiveEntry& entry, const std::string& path) {
        const auto size = static_cast<std::uint64_t>(std::max<std::int64_t>(entry.size, 0));
        if (size > budget_.limits.bytes - budget_.bytes) {
            return fail(Errc::LimitExceeded, "with it the image is over " + std::to_string(budget_.limits.bytes) + " bytes");
        }
        budget_.bytes += size;
        auto holder = placeFor(path);
        if (!holder) return forward(std::move(holder));
        const UniqueFd file(::openat(*holder, baseOf(path).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file) return failErrno("create");
        if (auto written = writeContent(file.get(), size); !written) return written;
        const auto mode = entry.mode & kFileMode;
        const timespec times[2] = {{0, UTIME_NOW}, {std::max<std::int64_t>(entry.mtime, 0), 0}};
        if (::fchown(file.get(), static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid)) != 0) return failErrno("chown");
        if (::fchmod(file.get(), mode) != 0) return failErrno("chmod");
        if (::futimens(file.get(), times) != 0) return failErrno("utimens");
        note(path, {FileEntry::Kind::Regular, mode, {}, false});
        return {};
    }

    Result<void> writeContent(int file, std::uint64_t size) {
        if (::ftruncate(file, static_cast<off_t>(size)) != 0) return failErrno("truncate");
        for (;;) {
            auto block = tar_.data();
            if (!block) return forward(std::move(block));
            if (!*block) return {};
            if ((*block)->offset > size || (*block)->bytes.size() > size - (*block)->offset) return refuse("it holds more than its size");
            if (::lseek(file, static_cast<off_t>((*block)->offset), SEEK_SET) < 0) return failErrno("seek");
            if (auto put = writeAll(file, (*block)->bytes); !put) return put;
        }
    }

    Result<void> makeSymlink(const ArchiveEntry& entry, const std::string& path) {
        if (entry.link.empty() || entry.link.size() > budget_.limits.path) return refuse("the link's target is empty or too long");
        auto holder = placeFor(path);
        if (!holder) return forward(std::move(holder));
        const auto base = baseOf(path);
        const timespec times[2] = {{0, UTIME_NOW}, {std::max<std::int64_t>(entry.mtime, 0), 0}};
        if (::symlinkat(entry.link.c_str(), *holder, base.c_str()) != 0) return failErrno("symlink");
        if (::fchownat(*holder, base.c_str(), static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid), AT_SYMLINK_NOFOLLOW) != 0)
            return failErrno("chown");
        if (::utimensat(*holder, base.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return failErrno("utimens");
        note(path, {FileEntry::Kind::Symlink, 0777, entry.link, false});
        return {};
    }

    Result<void> makeHardLink(const ArchiveEntry& entry, const std::string& path) {
        auto target = cleanName(entry.link, budget_.limits);
        if (!target) return forward(std::move(target), "hard link to");
        const auto found = table_.find(*target);
        if (found == table_.end() || found->second.kind != FileEntry::Kind::Regular) {
            return refuse("a hard link to " + shown(*target) + ", which is no earlier regular file of this layer");
        }
        auto holder = placeFor(path);
        if (!holder) return forward(std::move(holder));
        const auto [parent, base] = splitPath(*target);
        const auto from = openBeneath(folder_, std::string(parent), O_RDONLY | O_DIRECTORY);
        if (!from || ::linkat(from.get(), std::string(base).c_str(), *holder, baseOf(path).c_str(), 0) != 0) return failErrno("link");
        const auto linked = found->second;
        note(path, linked);
        return {};
    }

    Result<void> makeWhiteout(const std::string& hidden) {
        auto holder = placeFor(hidden);
        if (!holder) return forward(std::move(holder));
        if (::mknodat(*holder, baseOf(hidden).c_str(), S_IFCHR, ::makedev(0, 0)) != 0) return failErrno("whiteout");
        note(hidden, {FileEntry::Kind::Whiteout, 0, {}, false});
        return {};
    }

    Result<void> makeOpaque(const std::string& path) {
        if (auto made = ensureFolder(path); !made) return made;
        const auto folder = openBeneath(folder_, path, O_RDONLY | O_DIRECTORY);
        if (!folder || ::fsetxattr(folder.get(), "user.overlay.opaque", "y", 1, 0) != 0) return failErrno("user.overlay.opaque");
        auto& entry = table_[path];
        entry.kind = FileEntry::Kind::Directory;
        if (path.empty() && entry.mode == 0) entry.mode = 0755;
        entry.opaque = true;
        return {};
    }

    // Last, deepest first: a folder's own bits must not hinder what is put into it, nor that change its time.
    Result<void> finishFolders() {
        parent_.reset();
        if (!folders_.contains("")) folders_[""] = {0, 0, 0755, 0};
        for (auto it = folders_.rbegin(); it != folders_.rend(); ++it) {
            const auto& [path, meta] = *it;
            const auto folder = openBeneath(folder_, path, O_RDONLY | O_DIRECTORY);
            const timespec times[2] = {{0, UTIME_NOW}, {std::max<std::int64_t>(meta.mtime, 0), 0}};
            if (!folder || ::fchown(folder.get(), meta.uid, meta.gid) != 0 || ::fchmod(folder.get(), meta.mode) != 0 ||
                ::futimens(folder.get(), times) != 0) {
                return failErrno("folder " + shown(path));
            }
        }
        return {};
    }

    static std::string baseOf(std::string_view path) { return std::string(splitPath(path).second); }
    void note(const std::string& path, FileEntry entry) { table_[path] = std::move(entry); }

    ArchiveReader& tar_;
    int folder_;
    Budget& budget_;
    FileTable table_;
    std::map<std::string, Metadata> folders_;
    UniqueFd parent_;
    std::string parentPath_;
};

}  // namespace

Result<FileTable> unpackLayer(ArchiveReader& tar, int folder, Budget& budget) { return LayerUnpacker(tar, folder, budget).run(); }

}  // namespace recap::image
