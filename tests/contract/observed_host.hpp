// SPDX-License-Identifier: Apache-2.0
// recapd's side of one backend in the test's own process, and the real recap-plugin-host at the other end.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/event.hpp"
#include "daemon/host/plugin_hosts.hpp"
#include "tests/contract/world.hpp"
#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

class ObservedHost : public TargetSink {
public:
    explicit ObservedHost(const World& world, const std::string& moreSettings = {});
    ~ObservedHost() override;

    void startHost();  // as the socket unit would, once recapd connects
    void killHost();
    // Turns the loop until it is so; false: not within kPatience.
    bool until(const std::function<bool()>& done);
    bool untilReady();
    const Target* named(const std::string& name) const;  // null: none, or more than one
    std::vector<const Target*> allNamed(const std::string& name) const;
    bool untilNamed(const std::string& name);
    bool untilGone(const std::string& name);
    Result<void> find(const std::string& id);

    const std::map<std::string, Target>& targets() const { return targets_; }
    const BackendStatus& status() const { return status_; }

    void snapshot(const std::string& backend, std::vector<Target> targets) override;
    void added(Target target) override;
    void removed(const TargetId& id) override;
    void state(BackendStatus status) override;

private:
    const World& world_;
    TempDir folder_{"recap-contract"};
    EventLoop loop_;
    std::map<std::string, Target> targets_;
    BackendStatus status_;
    std::unique_ptr<Child> program_;
    std::unique_ptr<host::PluginHosts> hosts_;
};

}  // namespace recap::test
