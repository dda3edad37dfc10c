// SPDX-License-Identifier: Apache-2.0
// recapd itself on a private bus, with folders of its own and neither launcher nor plugin hosts: enough for all that is
// said before a run could start.
#pragma once

#include <filesystem>

#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/private_bus.hpp"

namespace recap::test {

class Recapd {
public:
    Recapd() : daemon_(command()) {}
    const PrivateBus& bus() const { return bus_; }
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
    Child daemon_;
};

}  // namespace recap::test
