// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace recap::test {

// A folder of its own, removed with everything in it. Traversable by every user (0755).
class TempDir {
public:
    explicit TempDir(const std::string& prefix = "recap-test", const std::filesystem::path& parent = {});
    TempDir(TempDir&& other) noexcept;
    TempDir& operator=(TempDir&&) = delete;
    ~TempDir();
    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path release();  // from now on nobody removes it

private:
    std::filesystem::path path_;
};

// Both throw std::runtime_error with path and reason.
std::string readFile(const std::filesystem::path& path);
void writeFile(const std::filesystem::path& path, const std::string& text);

std::vector<std::string> lines(const std::string& text);             // without their ends; a last empty one is left out
std::map<std::string, std::string> values(const std::string& text);  // of "name: value" lines, as the test payload prints them
std::string trimmed(const std::string& text);

}  // namespace recap::test
