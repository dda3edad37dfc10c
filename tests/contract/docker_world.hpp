// SPDX-License-Identifier: Apache-2.0
// Worlds of the docker backend. An engine takes seconds to start: one of each serves a test program, and is ended with it.
#pragma once

#include "tests/contract/world.hpp"
#include "tests/support/engines/dockerd.hpp"
#include "tests/support/engines/podman.hpp"

namespace recap::test {

// Started by the first call. What they leave behind at the program's end is a failure of it.
Dockerd& sharedDockerd();
Podman& sharedPodman();

// setpriv(1)'s command line for nobody in the group that may use docker's socket, and for root, whose podman's is; neither has
// any capability.
std::vector<std::string> asRecapDocker();
std::vector<std::string> asBareRoot();

// A backend of the plugin whose engine is a test's own business.
class EndpointWorld : public World {
public:
    explicit EndpointWorld(std::string endpoint, std::vector<std::string> user = asRecapDocker())
        : endpoint_(std::move(endpoint)), user_(std::move(user)) {}
    std::string plugin() const override { return "docker"; }
    std::filesystem::path pluginsDir() const override;
    std::string settings() const override { return "endpoint = \"" + endpoint_ + "\"\n"; }
    std::vector<std::string> asItsUser() const override { return user_; }
    pid_t start(const std::string&, const std::map<std::string, std::string>&) override { return 0; }
    void end(const std::string&) override {}

private:
    std::string endpoint_;
    std::vector<std::string> user_;
};

}  // namespace recap::test
