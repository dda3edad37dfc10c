// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/cgroup_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>

#include "sdk/base/unique_fd.hpp"

namespace recap::launcher {

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
