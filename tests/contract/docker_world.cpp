// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/docker_world.hpp"

#include <gmock/gmock.h>

#include <set>

#include "tests/support/environment.hpp"

namespace recap::test {
namespace {

struct Engines : testing::Environment {
    std::unique_ptr<Dockerd> dockerd;
    std::unique_ptr<Podman> podman;

    void TearDown() override {
        const auto none = std::vector<std::string>();
        EXPECT_THAT(dockerd ? dockerd->stop() : none, testing::IsEmpty());
        EXPECT_THAT(podman ? podman->stop() : none, testing::IsEmpty());
        dockerd.reset();
        podman.reset();
    }
};

Engines* const engines = static_cast<Engines*>(testing::AddGlobalTestEnvironment(new Engines));  // GoogleTest's own from then on

// What a test leaves running is the next one's surprise.
template <class Engine>
class EngineWorld : public EndpointWorld {
public:
    EngineWorld(Engine& engine, std::vector<std::string> user) : EndpointWorld(engine.endpoint(), std::move(user)), engine_(engine) {}
    ~EngineWorld() override {
        for (const auto& name : started_) engine_.remove(name);
    }
    pid_t start(const std::string& name, const std::map<std::string, std::string>& labels) override {
        started_.insert(name);
        return engine_.run(name, labels);
    }
    void end(const std::string& name) override {
        engine_.remove(name);
        started_.erase(name);
    }

private:
    Engine& engine_;
    std::set<std::string> started_;
};

std::vector<std::string> withoutCapabilities(std::vector<std::string> argv) {
    for (const char* word : {"--no-new-privs", "--inh-caps", "-all", "--ambient-caps", "-all", "--bounding-set", "-all"})
        argv.emplace_back(word);
    return argv;
}

}  // namespace

Dockerd& sharedDockerd() {
    if (!engines->dockerd) engines->dockerd = std::make_unique<Dockerd>();
    return *engines->dockerd;
}

Podman& sharedPodman() {
    if (!engines->podman) engines->podman = std::make_unique<Podman>();
    return *engines->podman;
}

std::vector<std::string> asRecapDocker() {
    return withoutCapabilities({"setpriv", "--reuid", "65534", "--regid", "65534", "--groups", Dockerd::kGroup});
}
std::vector<std::string> asBareRoot() { return withoutCapabilities({"setpriv", "--clear-groups"}); }

std::filesystem::path EndpointWorld::pluginsDir() const {
    return std::filesystem::path(variable("RECAP_BUILD_DIR", "ctest")) / "lib/recap/plugins";
}

std::unique_ptr<World> makeDockerWorld() { return std::make_unique<EngineWorld<Dockerd>>(sharedDockerd(), asRecapDocker()); }
std::unique_ptr<World> makePodmanWorld() { return std::make_unique<EngineWorld<Podman>>(sharedPodman(), asBareRoot()); }

}  // namespace recap::test
