// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/cgroup_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "daemon/launcher/kernel.hpp"

namespace recap::launcher {

UniqueFd openHierarchy(const std::vector<MountLine>& mounts, std::string_view controller) {
    for (const auto& mount : mounts) {
        const bool unified = controller.empty() && mount.type == "cgroup2";
        const bool named = !controller.empty() && mount.type == "cgroup" && mount.path.ends_with("/" + std::string(controller));
        if (!unified && !named) continue;
        if (UniqueFd dir(openDir(AT_FDCWD, mount.path.c_str())); dir) return dir;
    }
    return {};
}

std::string cgroupOn(std::string_view text, std::string_view controller) {
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        if (line.substr(first + 1, second - first - 1) == controller) return std::string(line.substr(second + 1));
    }
    return {};
}

UniqueFd openCgroup(const UniqueFd& hierarchy, const std::string& path) {
    if (!hierarchy || path.size() < 2) return {};
    return UniqueFd(kernel::openat2(hierarchy.get(), path.c_str() + 1, O_RDONLY | O_DIRECTORY,
                                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
}

int openDir(int dir, const char* path) { return ::openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

bool writeFile(int dir, const char* file, std::string_view value) {
    UniqueFd fd(::openat(dir, file, O_WRONLY | O_CLOEXEC));
    return fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

std::string readFile(int dir, const char* file) {
    UniqueFd fd(::openat(dir, file, O_RDONLY | O_CLOEXEC));
    char text[4096];
    const ssize_t size = fd ? ::read(fd.get(), text, sizeof(text)) : -1;
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

std::uint64_t toNumber(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::uint64_t keyed(std::string_view text, std::string_view key) {
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string_view::npos; at += key.size())
        if ((at == 0 || text[at - 1] == '\n') && at + key.size() < text.size() && text[at + key.size()] == ' ')
            return toNumber(text.substr(at + key.size() + 1));
    return 0;
}

}  // namespace recap::launcher
