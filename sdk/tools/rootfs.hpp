// SPDX-License-Identifier: Apache-2.0
// The files of an image being built: merged-/usr, owned by root, contents kept in a scratch folder until it is written.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/image/writer.hpp"

namespace recap::tools {

class Rootfs {
public:
    explicit Rootfs(std::filesystem::path scratch) : scratch_(std::move(scratch)) {}

    // Everything of a tar stream (a package's files), but what capsules have no use for: documentation, translations,
    // character set converters. A file that is there already is replaced, as dpkg would have refused it before.
    Result<void> addTar(int fd);
    // A file of this machine. `path` is absolute, in the image.
    Result<void> addFile(const std::string& path, const std::filesystem::path& source, std::uint32_t mode);
    void addFolder(const std::string& path, std::uint32_t mode);
    void addLink(const std::string& path, const std::string& to);

    // /bin and its like, for the programs that name them. Links to /usr, or, where the image will lie over a target's files, folders of
    // links: a link hides the target's whole folder, a folder only what is of the same name.
    enum class Tops { Links, Folders };
    // With these and the mount points that every capsule has.
    image::FileList take(Tops tops = Tops::Links);

private:
    void mirror(const std::string& top);
    Result<void> keepContent(image::FileSpec& spec, const std::function<Result<void>(int)>& write);
    Result<void> addEntry(class image::ArchiveReader& tar, const struct image::ArchiveEntry& entry);

    std::filesystem::path scratch_;
    image::FileList files_;
    std::size_t count_ = 0;
};

// "/bin/ls" and "bin/ls" -> "usr/bin/ls".
std::string mergedPath(std::string_view path);

}  // namespace recap::tools
