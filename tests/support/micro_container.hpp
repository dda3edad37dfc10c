// SPDX-License-Identifier: Apache-2.0
// Real containers, started by a real OCI runtime: what capsules are for.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/command.hpp"
#include "tests/support/http.hpp"
#include "tests/support/oci_spec.hpp"

namespace recap::test {

// One running container. Ended and removed, with its cgroups and folders, when it goes out of scope.
class MicroContainer {
public:
    explicit MicroContainer(ContainerOptions options = {}, const std::filesystem::path& parent = {});  // ready when made
    MicroContainer(const MicroContainer&) = delete;
    MicroContainer& operator=(const MicroContainer&) = delete;
    ~MicroContainer();

    const std::string& name() const { return options_.name; }
    pid_t pid() const { return pid_; }  // its PID 1, as this machine counts
    const std::filesystem::path& rootfs() const { return rootfs_; }
    const std::filesystem::path& runtimeRoot() const { return options_.runtimeRoot; }
    const std::string& cgroup() const { return cgroup_; }  // path from the cgroup root
    std::string log() const;
    HttpAnswer get(const std::string& path = "/") const;             // from inside its network namespace, port 8080
    CommandResult exec(const std::vector<std::string>& argv) const;  // the runtime's exec
    void kill();                                                     // its PID 1, and waits for the end

    // For a program that starts a container and another that ends it: keeps it running beyond this object; its folder
    // is `parent`/NAME, and end() ends and removes it.
    std::filesystem::path detach();
    static void end(const std::filesystem::path& folder);

private:
    void start();
    void waitUntilServing() const;
    void waitUntilAsleep() const;

    ContainerOptions options_;
    std::filesystem::path folder_, rootfs_;
    std::string cgroup_;
    pid_t pid_ = 0;
};

// The runtime's command line up to its verb: crun on a machine with both cgroup hierarchies must not see the unified one.
std::vector<std::string> runtimeCommand(const std::string& runtime, const std::filesystem::path& root);

}  // namespace recap::test
