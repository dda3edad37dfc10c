// SPDX-License-Identifier: Apache-2.0
#include <deque>

#include "daemon/core/image.hpp"

namespace recap {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's

using Parts = std::deque<std::string>;

void splitInto(Parts& parts, std::string_view path) {  // in front of what is there
    Parts front;
    while (!path.empty()) {
        const auto end = std::min(path.find('/'), path.size());
        if (const auto part = path.substr(0, end); !part.empty() && part != ".") front.emplace_back(part);
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    parts.insert(parts.begin(), front.begin(), front.end());
}

// The entry that an absolute path leads to in the image, and its path without links; null: nowhere.
const ImageFile* follow(const Image& image, std::string_view path, std::string& real) {
    Parts parts;
    splitInto(parts, path);
    real.clear();
    const ImageFile* at = nullptr;
    for (int links = 0; !parts.empty();) {
        const auto part = parts.front();
        parts.pop_front();
        if (part == "..") {
            real.resize(real.empty() ? 0 : real.rfind('/'));
            continue;
        }
        std::string next = real;
        next.append("/").append(part);
        const auto found = image.files.find(next);
        if (found == image.files.end()) return nullptr;
        at = &found->second;
        if (at->kind == ImageFile::Kind::Symlink) {
            if (++links > kMaxLinks) return nullptr;
            if (at->link.starts_with('/')) real.clear();
            splitInto(parts, at->link);
            continue;
        }
        if (!parts.empty() && at->kind != ImageFile::Kind::Directory) return nullptr;
        real = found->first;
    }
    const auto last = image.files.find(real);
    return last == image.files.end() ? nullptr : &last->second;
}

bool isExecutable(const ImageFile& file) { return file.kind == ImageFile::Kind::Regular && (file.mode & 0111) != 0; }

std::string nameOf(const Image& image) {
    return image.references.empty() ? "sha256:" + image.digest.substr(0, 12) : "'" + image.references.front() + "'";
}

}  // namespace

Result<std::string> findExecutable(const Image& image, std::string_view command, std::string_view searchPath) {
    if (command.empty()) return fail(Errc::InvalidArgument, "the command is empty");
    std::string unusable;
    const auto tryPath = [&](std::string_view path) -> std::string {
        std::string real;
        const auto* file = follow(image, path, real);
        if (file && isExecutable(*file)) return real;
        if (file) unusable = real;
        return {};
    };
    if (command.find('/') != command.npos) {
        if (auto real = tryPath(command); !real.empty()) return real;
    } else {
        for (auto rest = searchPath; !rest.empty();) {
            const auto end = std::min(rest.find(':'), rest.size());
            const auto folder = rest.substr(0, end);
            rest.remove_prefix(std::min(end + 1, rest.size()));
            if (!folder.starts_with('/')) continue;
            if (auto real = tryPath(std::string(folder) + "/" + std::string(command)); !real.empty()) return real;
        }
    }
    const auto what = "command '" + std::string(command) + "': ";
    if (!unusable.empty()) return fail(Errc::NotExecutable, what + unusable + " in image " + nameOf(image) + " is not an executable file");
    if (command.find('/') != command.npos) return fail(Errc::NoCommand, what + "image " + nameOf(image) + " has no such file");
    return fail(Errc::NoCommand, what + "not in image " + nameOf(image) + " (looked in " + std::string(searchPath) + ")");
}

}  // namespace recap
