// SPDX-License-Identifier: Apache-2.0
#include "tests/support/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "sdk/base/unique_fd.hpp"

namespace recap::test {

namespace fs = std::filesystem;

TempDir::TempDir(const std::string& prefix, const fs::path& parent) {
    std::string name = ((parent.empty() ? fs::temp_directory_path() : parent) / (prefix + ".XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr || ::chmod(name.c_str(), 0755) != 0)
        throw std::runtime_error("make a folder " + name + ": " + std::strerror(errno));
    path_ = name;
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TempDir::~TempDir() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
}

fs::path TempDir::release() { return std::exchange(path_, {}); }

std::string readFile(const fs::path& path) {
    UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) throw std::runtime_error("open " + path.string() + ": " + std::strerror(errno));
    std::string text;
    char buffer[65536];
    for (;;) {
        const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
        if (got == 0) return text;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw std::runtime_error("read " + path.string() + ": " + std::strerror(errno));
        text.append(buffer, static_cast<std::size_t>(got));
    }
}

void writeFile(const fs::path& path, const std::string& text) {
    UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (!fd) throw std::runtime_error("create " + path.string() + ": " + std::strerror(errno));
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t put = ::write(fd.get(), text.data() + done, text.size() - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) throw std::runtime_error("write " + path.string() + ": " + std::strerror(errno));
        done += static_cast<std::size_t>(put);
    }
}

std::map<std::string, std::string> values(const std::string& text) {
    std::map<std::string, std::string> found;
    for (const std::string& line : lines(text)) {
        const auto colon = line.rfind(": ");
        if (colon != std::string::npos) found[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return found;
}

std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> all;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
}

std::string trimmed(const std::string& text) {
    const auto first = text.find_first_not_of(" \t\n");
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

}  // namespace recap::test
