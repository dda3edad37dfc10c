// SPDX-License-Identifier: Apache-2.0
// recapd itself on a private bus, with folders of its own, the policies as shipped and neither launcher nor plugin hosts: enough for
// all that is said before a run could start.
#pragma once

#include <csignal>
#include <filesystem>
#include <optional>

#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/private_bus.hpp"

namespace recap::test {

class Recapd {
public:
    Recapd() {
        std::filesystem::create_directories(temp_.path() / "vendor");
        std::filesystem::create_directory_symlink(sourceDir() / "policies", temp_.path() / "vendor" / "policies");
        start();
    }
    const PrivateBus& bus() const { return bus_; }
    void end() {
        daemon_->signal(SIGTERM);
        daemon_->wait(Deadline(kPatience));
    }
    void start() { daemon_.emplace(command()); }
    bool ready() const {
        return waitUntil(
            [&] {
                return run(Command{.argv = {"busctl", "--address=" + bus_.address(), "status", "org.recap1"}}).ok();
            },
            Deadline(kPatience));
    }

private:
    Command command() const {
        const auto at = [&](const char* name) {
            std::filesystem::create_directories(temp_.path() / name);
            return (temp_.path() / name).string();
        };
        return {.argv = {(binDir() / "recapd").string(), "--state", at("state"), "--launcher-socket", (temp_.path() / "none.sock").string(),
                         "--plugin-sockets", at("plugins"), "--vendor-dir", at("vendor"), "--runtime-dir", at("run"), "--config-dir",
                         at("etc")},
                .env = bus_.environment()};
    }

    TempDir temp_;
    PrivateBus bus_;
    std::optional<Child> daemon_;
};

}  // namespace recap::test
