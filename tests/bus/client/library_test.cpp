// SPDX-License-Identifier: Apache-2.0
// recap/client.hpp as a host program uses it.
#include <sdbus-c++/sdbus-c++.h>
#include <unistd.h>

#include <algorithm>

#include "sdk/client/recap/client.hpp"
#include "tests/bus/client/peer.hpp"

namespace recap::test {
namespace {

struct Library : PeerTest {
    std::optional<client::Client> client;
    void SetUp() override {
        PeerTest::SetUp();
        ::setenv("DBUS_SYSTEM_BUS_ADDRESS", peer.bus().address().c_str(), 1);
        auto connected = client::Client::connect();
        ASSERT_TRUE(connected) << connected.error().message;
        client.emplace(std::move(*connected));
    }
    void finish(const client::Run& run) {
        while (!run.ended()) ASSERT_TRUE(client->wait());
    }
};

TEST_F(Library, HasManyRunsUnderWayAtOnce) {
    std::vector<client::Run> runs;
    for (int i = 0; i < 20; ++i) runs.push_back(client->run({.capsule = "sh", .target = "web", .args = {"exit " + std::to_string(i)}}));
    for (int i = 0; i < 20; ++i) {
        finish(runs[static_cast<std::size_t>(i)]);
        const auto* end = runs[static_cast<std::size_t>(i)].end();
        ASSERT_NE(end, nullptr);
        EXPECT_EQ(end->exitCode, i);
        EXPECT_EQ(end->outcome, i == 0 ? "succeeded" : "failed");
    }
}

TEST_F(Library, AFailedRequestIsTheRunsFailure) {
    const auto run = client->run({.capsule = "refused", .target = "web"});
    finish(run);
    ASSERT_NE(run.failure(), nullptr);
    EXPECT_EQ(run.failure()->code, Errc::AccessDenied);
    EXPECT_EQ(run.end(), nullptr);
    EXPECT_FALSE(run.accepted());
}

TEST_F(Library, StopBeforeTheAnswerIsKeptUntilThere) {
    const auto run = client->run({.capsule = "sh", .target = "web", .args = {"exec sleep 60"}});
    ASSERT_FALSE(run.accepted());
    client->kill(run);
    finish(run);
    ASSERT_NE(run.end(), nullptr);
    EXPECT_EQ(run.end()->outcome, "killed");
}

TEST_F(Library, ErrorsKeepTheirClassAndSentence) {
    const auto removed = client->removeCapsule("nothing");
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Errc::NotFound);
    EXPECT_EQ(removed.error().message, "no capsule 'nothing'");
    const auto enabled = client->enableCapsule("sh");
    ASSERT_FALSE(enabled);
    EXPECT_EQ(enabled.error().code, Errc::NotSupported);
}

std::vector<std::string> uniqueNames(sdbus::IConnection& connection) {
    auto bus = sdbus::createProxy(connection, "org.freedesktop.DBus", "/org/freedesktop/DBus");
    std::vector<std::string> names;
    bus->callMethod("ListNames").onInterface("org.freedesktop.DBus").storeResultsTo(names);
    std::erase_if(names, [](const std::string& name) { return !name.starts_with(':'); });
    return names;
}

TEST_F(Library, BelievesNobodyButRecapdThatARunIsOver) {
    const auto liar = sdbus::createSystemBusConnection();
    const auto run = client->run({.capsule = "sh", .target = "web", .args = {"read line; exit 6"}, .standardInput = -1});
    while (!run.accepted()) ASSERT_TRUE(client->wait());
    const auto other = client->run({.capsule = "sh", .target = "web", .args = {"exec sleep 60"}});
    while (!other.accepted()) ASSERT_TRUE(client->wait());
    auto object = sdbus::createObject(*liar, "/org/recap1");
    for (const auto& name : uniqueNames(*liar)) {
        auto signal = object->createSignal("org.recap1.Manager", "RunFinished");
        signal << sdbus::ObjectPath(other.path()) << std::string("succeeded") << int32_t{0} << std::map<std::string, sdbus::Variant>{};
        signal.setDestination(name);
        signal.send();
    }
    // The liar's messages are on the bus before this call is: its answer comes after them.
    uniqueNames(*liar);
    ASSERT_TRUE(client->backends());
    while (*client->pump()) continue;
    EXPECT_FALSE(other.ended());
    client->kill(other);
    finish(other);
    ASSERT_NE(other.end(), nullptr);
    EXPECT_EQ(other.end()->outcome, "killed");
}

TEST_F(Library, EndsEveryRunWhenTheBusGoes) {
    const auto run = client->run({.capsule = "vanish", .target = "web"});
    finish(run);
    ASSERT_NE(run.failure(), nullptr);
    EXPECT_EQ(run.failure()->code, Errc::Unavailable);
    EXPECT_FALSE(client->backends());
}

}  // namespace
}  // namespace recap::test
