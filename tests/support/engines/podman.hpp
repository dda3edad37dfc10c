// SPDX-License-Identifier: Apache-2.0
// podman's API service of the tests' own, as root: its roots and socket are below a folder of its own, its containers' cgroups below
// one, and it touches no network.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

class Podman {
public:
    // Serving, with the image recap-app:v1. `parent`: where its folder is made.
    explicit Podman(const std::filesystem::path& parent = {});
    Podman(const Podman&) = delete;
    Podman& operator=(const Podman&) = delete;
    ~Podman();

    std::filesystem::path socket() const { return folder_.path() / "podman.sock"; }
    std::string endpoint() const { return "unix://" + socket().string(); }

    CommandResult podman(std::vector<std::string> verb) const;  // throws unless it succeeds
    pid_t run(const std::string& name, const std::map<std::string, std::string>& labels = {}, const std::vector<std::string>& options = {});
    pid_t pidOf(const std::string& name) const;
    void remove(const std::string& name);

    // Ends containers and the service. What is still there of them then.
    std::vector<std::string> stop();

private:
    std::filesystem::path path(const char* name) const { return folder_.path() / name; }
    std::vector<std::string> command(std::vector<std::string> verb) const;
    std::map<std::string, std::string> environment() const;
    void startService();

    TempDir folder_;
    std::string cgroup_;
    std::unique_ptr<Child> service_;
    std::vector<std::filesystem::path> made_;  // outside of the folder
    bool stopped_ = false;
};

}  // namespace recap::test
