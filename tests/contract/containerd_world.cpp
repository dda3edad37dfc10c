// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/containerd_world.hpp"

#include <gmock/gmock.h>

#include "tests/contract/docker_world.hpp"
#include "tests/support/environment.hpp"

namespace recap::test {
namespace {

struct SharedEngine : testing::Environment {
    std::unique_ptr<Containerd> engine;

    void TearDown() override {
        EXPECT_THAT(engine ? engine->stop() : std::vector<std::string>(), testing::IsEmpty());
        engine.reset();
    }
};

SharedEngine* const shared =
    static_cast<SharedEngine*>(testing::AddGlobalTestEnvironment(new SharedEngine));  // GoogleTest's own from then on

}  // namespace

Containerd& sharedContainerd() {
    if (!shared->engine) shared->engine = std::make_unique<Containerd>();
    return *shared->engine;
}

std::filesystem::path ContainerdWorld::pluginsDir() const {
    return std::filesystem::path(variable("RECAP_BUILD_DIR", "ctest")) / "lib/recap/plugins";
}

std::vector<std::string> ContainerdWorld::asItsUser() const { return asBareRoot(); }  // the socket's owner

std::unique_ptr<World> makeContainerdWorld() { return std::make_unique<ContainerdWorld>(sharedContainerd()); }

}  // namespace recap::test
