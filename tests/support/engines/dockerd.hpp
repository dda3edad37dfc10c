// SPDX-License-Identifier: Apache-2.0
// A real Docker Engine of the tests' own: its roots, socket and containerd are below a folder of its own, its containers' cgroups
// below one, and it touches no network.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

class Dockerd {
public:
    // Serving, with the image recap-app:v1. `parent`: where its folder is made. `remapsUsers`: its containers are in user namespaces
    // (--userns=host: not); their root is this machine's user kRemapped.
    explicit Dockerd(const std::filesystem::path& parent = {}, bool remapsUsers = false);
    Dockerd(const Dockerd&) = delete;
    Dockerd& operator=(const Dockerd&) = delete;
    ~Dockerd();

    std::filesystem::path socket() const { return folder_.path() / "docker.sock"; }
    std::string endpoint() const { return "unix://" + socket().string(); }
    std::filesystem::path containerdSocket() const { return folder_.path() / "containerd.sock"; }
    static constexpr const char* kIsolated = "kata-test";  // a runtime by the name of one that keeps containers in a virtual machine
    static constexpr const char* kUnknown = "house-test";  // one by a name that nobody knows; both are containerd's, too
    static constexpr std::uint32_t kRemapped = 3'000'000;
    static constexpr const char* kGroup = "docker";  // who may use the socket beside root
    static constexpr const char* kImage = "recap-app:v1";

    CommandResult docker(std::vector<std::string> verb) const;  // its client; throws unless it succeeds
    // Starts a container and answers its first process. `options` are docker run's, `command` is the container's.
    pid_t run(const std::string& name, const std::map<std::string, std::string>& labels = {}, const std::vector<std::string>& options = {},
              const std::vector<std::string>& command = {});
    pid_t pidOf(const std::string& name) const;
    void remove(const std::string& name);  // by force

    void killDaemon();  // its containers live on
    void startDaemon();

    // Ends containers and daemons. What is still there of them then.
    std::vector<std::string> stop();

private:
    void configure();
    void startContainerd();
    std::filesystem::path path(const char* name) const { return folder_.path() / name; }

    TempDir folder_;
    std::string cgroup_;
    const bool remapsUsers_;
    std::unique_ptr<Child> containerd_, daemon_;
    bool wasKilled_ = false;
    bool stopped_ = false;
};

}  // namespace recap::test
