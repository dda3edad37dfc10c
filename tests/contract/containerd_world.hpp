// SPDX-License-Identifier: Apache-2.0
// The world of the containerd backend. The engine takes seconds to start: one serves a test program, and is ended with it.
#pragma once

#include "tests/contract/world.hpp"
#include "tests/support/engines/containerd.hpp"

namespace recap::test {

// Started by the first call. What it leaves behind at the program's end is a failure of it.
Containerd& sharedContainerd();

// A backend whose containers are a test's own business; those of all namespaces are ended with it.
class ContainerdWorld : public World {
public:
    explicit ContainerdWorld(Containerd& engine) : engine_(engine) {}
    ~ContainerdWorld() override { engine_.endAll(); }
    std::string plugin() const override { return "containerd"; }
    std::filesystem::path pluginsDir() const override;
    std::string settings() const override { return "endpoint = \"" + engine_.endpoint() + "\"\n"; }
    std::vector<std::string> asItsUser() const override;
    pid_t start(const std::string& name, const std::map<std::string, std::string>& labels) override {
        return engine_.run(engine_.nameSpace(), name, labels);
    }
    void end(const std::string& name) override { engine_.end(engine_.nameSpace(), name); }

private:
    Containerd& engine_;
};

}  // namespace recap::test
