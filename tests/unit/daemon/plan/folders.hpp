// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/core/settings.hpp"

namespace recap::test {

// The four folders of settings below one that goes away with this.
class ScratchFolders {
public:
    ScratchFolders() {
        std::string pattern = (std::filesystem::temp_directory_path() / "recap-plan-XXXXXX").string();
        top_ = ::mkdtemp(pattern.data());
        folders_ = {(top_ / "vendor").string(), (top_ / "state").string(), (top_ / "run").string(), (top_ / "etc").string()};
        for (const auto* folder : {&folders_.vendor, &folders_.state, &folders_.runtime, &folders_.config})
            std::filesystem::create_directories(*folder);
    }
    ~ScratchFolders() { std::filesystem::remove_all(top_); }
    ScratchFolders(const ScratchFolders&) = delete;
    ScratchFolders& operator=(const ScratchFolders&) = delete;

    const Folders& folders() const { return folders_; }
    std::filesystem::path path(const std::string& name) const { return top_ / name; }  // "etc/capsules/a.toml"

    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories(path(name).parent_path());
        std::ofstream(path(name)) << text;
    }
    void mask(const std::string& name) const {
        std::filesystem::create_directories(path(name).parent_path());
        std::filesystem::create_symlink("/dev/null", path(name));
    }
    // The profiles that are shipped.
    void writePolicies() const {
        const auto shipped = std::filesystem::path(std::getenv("RECAP_SOURCE_DIR")) / "policies";
        std::filesystem::create_directories(path("vendor/policies"));
        for (const auto& entry : std::filesystem::directory_iterator(shipped))
            if (entry.path().extension() == ".toml")
                std::filesystem::copy_file(entry.path(), path("vendor/policies") / entry.path().filename());
    }

private:
    std::filesystem::path top_;
    Folders folders_;
};

inline std::string capsuleText(const std::string& name, const std::string& more = "", const std::string& capsule = "") {
    return "manifest = 1\n[capsule]\nname = \"" + name + "\"\nimage = \"recap/" + name + ":1\"\ncommand = [\"tool\", \"-v\"]\n" + capsule +
           "\n" + more + "\n";
}

}  // namespace recap::test
