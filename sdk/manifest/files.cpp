// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "sdk/base/unique_fd.hpp"
#include "sdk/manifest/guard.hpp"

namespace recap::manifest {
namespace {

// A link to /dev/null, or /dev/null itself mounted there.
bool isMask(const std::filesystem::path& path) {
    struct stat file {};
    return ::stat(path.c_str(), &file) == 0 && S_ISCHR(file.st_mode);
}

bool isThere(const std::filesystem::path& path) {
    struct stat file {};
    return ::lstat(path.c_str(), &file) == 0;
}

Result<void> writeAll(int fd, std::string_view bytes, const std::string& name) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failErrno("write " + name);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<void> syncFolder(const std::filesystem::path& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return failErrno("sync " + folder.string());
    return {};
}

}  // namespace

std::vector<LayeredFile> layeredFiles(const std::vector<std::filesystem::path>& folders) {
    std::map<std::string, std::filesystem::path> strongest;
    for (const auto& folder : folders) {
        std::error_code error;
        for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
            const std::string name = it->path().filename().string();
            if (name.ends_with(".toml") && !name.starts_with('.')) strongest[name] = it->path();
        }
    }
    std::vector<LayeredFile> result;
    for (auto& [name, path] : strongest)
        if (!isMask(path)) result.push_back({name, path});
    return result;
}

std::filesystem::path layeredFile(const std::vector<std::filesystem::path>& folders, std::string_view name) {
    for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
        const auto path = *folder / name;
        if (isThere(path)) return isMask(path) ? std::filesystem::path{} : path;
    }
    return {};
}

Result<std::string> readText(const std::filesystem::path& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat file {};
    if (!fd || ::fstat(fd.get(), &file) != 0) return failErrno("open " + path.string());
    if (!S_ISREG(file.st_mode)) return fail(Errc::InvalidArgument, path.string() + " is not a regular file");
    std::string text(kMaxText + 1, '\0');
    std::size_t have = 0;
    while (have < text.size()) {
        const ssize_t got = ::read(fd.get(), text.data() + have, text.size() - have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failErrno("read " + path.string());
        if (got == 0) break;
        have += static_cast<std::size_t>(got);
    }
    if (have > kMaxText) return fail(Errc::LimitExceeded, path.string() + " has more than " + std::to_string(kMaxText) + " bytes");
    text.resize(have);
    return text;
}

Result<void> writeText(const std::filesystem::path& path, std::string_view text, unsigned mode) {
    std::string temporary = (path.parent_path() / ("." + path.filename().string() + ".XXXXXX")).string();
    const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return failErrno("create " + temporary);
    auto done = writeAll(fd.get(), text, temporary);
    if (done && (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0)) done = failErrno("write " + temporary);
    if (done && ::rename(temporary.c_str(), path.c_str()) != 0) done = failErrno("rename " + temporary + " to " + path.string());
    if (!done) {
        ::unlink(temporary.c_str());
        return done;
    }
    return syncFolder(path.has_parent_path() ? path.parent_path() : ".");
}

}  // namespace recap::manifest
