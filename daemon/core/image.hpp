// SPDX-License-Identifier: Apache-2.0
// What may run: a reference becomes a digest, its layers and its config. The layers themselves are the launcher's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"

namespace recap {

struct ImageFile {
    enum class Kind { Regular, Directory, Symlink, Other } kind = Kind::Regular;
    std::uint32_t mode = 0;
    std::string link;  // of a symlink
};

struct Image {
    std::string digest;                   // of the manifest, 64 hex digits
    std::vector<std::string> references;  // "recap/tcpdump:1.2.0"
    std::vector<std::string> layers;      // diff-ids, 64 hex digits, lowest first
    std::string architecture;             // OCI's: "amd64"
    std::uint64_t size = 0;               // bytes unpacked
    std::vector<std::string> entrypoint;
    std::vector<std::string> cmd;
    std::vector<std::string> env;
    std::string workdir;
    std::map<std::string, std::string> labels;  // package versions among them
    std::map<std::string, ImageFile> files;     // absolute path -> entry, all layers applied
    bool admitted = false;
    std::string imported;  // RFC 3339
};

class ImageIndex {
public:
    virtual ~ImageIndex() = default;
    // By "name:tag", "name:tag@sha256:…" or a digest (at least 12 digits of it).
    virtual Result<const Image*> find(std::string_view reference) const = 0;
    virtual std::vector<const Image*> list() const = 0;
};

// An absolute path of an executable file in the image for `command`, as execvp(3) would find it below the image's root:
// symbolic links followed within it. Errc::NotFound names the command and the image.
Result<std::string> findExecutable(const Image& image, std::string_view command, std::string_view searchPath);

}  // namespace recap
