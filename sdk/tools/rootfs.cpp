// SPDX-License-Identifier: Apache-2.0
#include "sdk/tools/rootfs.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/archive.hpp"
#include "sdk/image/names.hpp"

namespace recap::tools {
namespace {

using image::FileSpec;

constexpr std::array<std::string_view, 6> kMerged{"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
constexpr std::array<std::string_view, 9> kPruned{
    "usr/share/doc/",     "usr/share/man/", "usr/share/info/",     "usr/share/locale/",
    "usr/share/lintian/", "usr/share/bug/", "usr/share/doc-base/", "usr/share/bash-completion/",
    "usr/share/zsh/"};

bool isPruned(std::string_view path) {
    for (const auto prefix : kPruned) {
        if (path.starts_with(prefix) || path == prefix.substr(0, prefix.size() - 1)) return true;
    }
    // usr/lib/ARCH/gconv: 8 MB of converters between character sets; UTF-8 needs none.
    return path.starts_with("usr/lib/") && (path.find("/gconv/") != path.npos || path.ends_with("/gconv"));
}

}  // namespace

std::string mergedPath(std::string_view path) {
    while (path.starts_with('/')) path.remove_prefix(1);
    const auto first = path.substr(0, std::min(path.find('/'), path.size()));
    for (const auto top : kMerged) {
        if (first == top) return "usr/" + std::string(path);
    }
    return std::string(path);
}

Result<void> Rootfs::addTar(int fd) {
    image::FdSource bytes(fd);
    auto tar = image::readTar(bytes, image::Wrapping::Plain);
    if (!tar) return forward(std::move(tar));
    for (;;) {
        auto entry = (*tar)->next();
        if (!entry) return forward(std::move(entry));
        if (!*entry) return {};
        if (auto added = addEntry(**tar, **entry); !added) return forward(std::move(added), (*entry)->path);
    }
}

Result<void> Rootfs::addEntry(image::ArchiveReader& tar, const image::ArchiveEntry& entry) {
    using Kind = image::ArchiveEntry::Kind;
    auto name = image::cleanName(entry.path, {});
    if (!name) return forward(std::move(name));
    const auto path = mergedPath(*name);
    if (path.empty() || isPruned(path)) return {};
    FileSpec spec;
    spec.mtime = entry.mtime;
    spec.mode = entry.mode & 01777;
    switch (entry.kind) {
        case Kind::Directory: spec.kind = FileSpec::Kind::Directory; break;
        case Kind::Symlink:
            spec.kind = FileSpec::Kind::Symlink;
            spec.link = entry.link;
            break;
        case Kind::HardLink: {
            auto target = image::cleanName(entry.link, {});
            const auto found = target ? files_.find(mergedPath(*target)) : files_.end();
            if (found == files_.end()) return fail(Errc::InvalidArgument, "a hard link to what is not in the image");
            spec = FileSpec(found->second);
            break;
        }
        case Kind::Regular: {
            spec.mode &= 0777;
            auto kept = keepContent(spec, [&](int out) -> Result<void> {
                for (;;) {
                    auto block = tar.data();
                    if (!block) return forward(std::move(block));
                    if (!*block) return {};
                    if (::lseek(out, static_cast<off_t>((*block)->offset), SEEK_SET) < 0) return failErrno("seek");
                    if (auto put = image::writeAll(out, (*block)->bytes); !put) return put;
                }
            });
            if (!kept) return kept;
            break;
        }
        default: return {};  // packages have no devices that a capsule could use: its /dev is the launcher's
    }
    files_[path] = std::move(spec);
    return {};
}

Result<void> Rootfs::keepContent(FileSpec& spec, const std::function<Result<void>(int)>& write) {
    spec.source = scratch_ / std::to_string(count_++);
    const UniqueFd out(::open(spec.source.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return out ? write(out.get()) : failErrno(spec.source);
}

Result<void> Rootfs::addFile(const std::string& path, const std::filesystem::path& source, std::uint32_t mode) {
    if (!std::filesystem::is_regular_file(source)) return fail(Errc::NotFound, source.string() + ": not a regular file");
    FileSpec spec;
    spec.mode = mode;
    spec.source = source;
    files_[mergedPath(path)] = std::move(spec);
    return {};
}

void Rootfs::addFolder(const std::string& path, std::uint32_t mode) {
    FileSpec spec;
    spec.kind = FileSpec::Kind::Directory;
    spec.mode = mode;
    files_.try_emplace(mergedPath(path), std::move(spec));
}

void Rootfs::addLink(const std::string& path, const std::string& to) {
    FileSpec link;
    link.kind = FileSpec::Kind::Symlink;
    link.mode = 0777;
    link.link = to;
    files_[mergedPath(path)] = std::move(link);
}

void Rootfs::mirror(const std::string& top) {
    const auto inner = "usr/" + top + "/";
    image::FileList mirrored;
    for (auto file = files_.lower_bound(inner); file != files_.end() && file->first.starts_with(inner); ++file) {
        FileSpec spec;
        if (file->second.kind == FileSpec::Kind::Directory) {
            spec = FileSpec(file->second);
        } else {
            spec.kind = FileSpec::Kind::Symlink;
            spec.mode = 0777;
            spec.link = "/" + file->first;
        }
        mirrored.insert_or_assign(file->first.substr(4), std::move(spec));
    }
    files_.merge(mirrored);
}

image::FileList Rootfs::take(Tops tops) {
    for (const auto top : kMerged) {
        const auto inner = "usr/" + std::string(top) + "/";
        const auto first = files_.lower_bound(inner);
        if (first == files_.end() || !first->first.starts_with(inner)) continue;
        if (tops == Tops::Folders) {
            mirror(std::string(top));
            continue;
        }
        FileSpec link;
        link.kind = FileSpec::Kind::Symlink;
        link.mode = 0777;
        link.link = "usr/" + std::string(top);
        files_.insert_or_assign(std::string(top), std::move(link));
    }
    for (const auto* folder : {"dev", "etc", "proc", "run", "sys"}) addFolder(folder, 0755);
    addFolder("tmp", 01777);
    return std::move(files_);
}

}  // namespace recap::tools
