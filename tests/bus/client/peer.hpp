// SPDX-License-Identifier: Apache-2.0
// A private bus with tests/support/bus_peer on it, and recapctl beside them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/private_bus.hpp"

namespace recap::test {

class Peer {
public:
    Peer()
        : daemon_(Command{.argv = {(binDir().parent_path() / "tests" / "bus_peer").string()}, .env = bus_.environment()}),
          ready_(daemon_.waitForOutput("ready\n", Deadline(kPatience))) {}

    const PrivateBus& bus() const { return bus_; }
    bool ready() const { return ready_; }
    Child& daemon() { return daemon_; }

    Command command(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), (binDir() / "recapctl").string());
        return {.argv = std::move(arguments), .env = bus_.environment()};
    }
    CommandResult recapctl(std::vector<std::string> arguments) const { return run(command(std::move(arguments))); }

private:
    PrivateBus bus_;
    Child daemon_;
    bool ready_;
};

struct PeerTest : testing::Test {
    Peer peer;
    void SetUp() override { ASSERT_TRUE(peer.ready()); }

    CommandResult recapctl(std::vector<std::string> arguments) { return peer.recapctl(std::move(arguments)); }
    static nlohmann::json json(const CommandResult& result) {
        auto parsed = nlohmann::json::parse(result.out, nullptr, false);
        EXPECT_TRUE(parsed.is_object()) << result.all();
        return parsed;
    }
};

}  // namespace recap::test
