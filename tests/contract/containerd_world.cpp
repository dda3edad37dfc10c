// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/world.hpp"
#include "tests/support/engines/containerd.hpp"
#include "tests/support/environment.hpp"

namespace recap::test {
namespace {

class ContainerdWorld : public World {
public:
    std::string plugin() const override { return "containerd"; }
    std::filesystem::path pluginsDir() const override {
        return std::filesystem::path(variable("RECAP_BUILD_DIR", "ctest")) / "lib/recap/plugins";
    }
    std::string settings() const override { return "endpoint = \"" + engine_.endpoint() + "\"\n"; }
    std::vector<std::string> asItsUser() const override { return asSocketsOwner(); }
    pid_t start(const std::string& name, const std::map<std::string, std::string>& labels) override {
        return engine_.run(engine_.nameSpace(), name, labels);
    }
    void end(const std::string& name) override { engine_.end(engine_.nameSpace(), name); }

private:
    Containerd engine_;
};

}  // namespace

std::vector<std::string> asSocketsOwner() {
    return {"setpriv", "--clear-groups", "--no-new-privs", "--inh-caps", "-all", "--ambient-caps", "-all", "--bounding-set", "-all"};
}

std::unique_ptr<World> makeContainerdWorld() { return std::make_unique<ContainerdWorld>(); }

}  // namespace recap::test
