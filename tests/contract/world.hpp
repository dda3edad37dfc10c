// SPDX-License-Identifier: Apache-2.0
// What the contract's suite needs of a world of containers, so that the same tests judge every backend.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace recap::test {

class World {
public:
    virtual ~World() = default;
    virtual std::string plugin() const = 0;
    virtual std::filesystem::path pluginsDir() const = 0;
    virtual std::string settings() const = 0;  // lines of [plugins.NAME]
    // What runs before the host's own command line: another user, fewer rights.
    virtual std::vector<std::string> asItsUser() const { return {}; }
    // Starts a container and answers its first process, once it runs. Names are the test's own.
    virtual pid_t start(const std::string& name, const std::map<std::string, std::string>& labels) = 0;
    virtual void end(const std::string& name) = 0;  // and forgets it
};

// A name for messages, and how to make the world.
struct WorldKind {
    std::string name;
    std::function<std::unique_ptr<World>()> make;
};

std::unique_ptr<World> makeDemoWorld();                               // the SDK's example: a fake engine of small files
std::unique_ptr<World> makeProcessWorld(const std::string& runtime);  // real runc or crun containers
std::unique_ptr<World> makeContainerdWorld();                         // a real containerd, one a test program
std::unique_ptr<World> makeDockerWorld();                             // a real Docker Engine, one a test program
std::unique_ptr<World> makePodmanWorld();                             // and podman by its socket that speaks like docker's

// setpriv(1)'s command line for a user that is nobody, with CAP_DAC_READ_SEARCH alone: what recap-process gets.
std::vector<std::string> asRecapProcess();

}  // namespace recap::test
