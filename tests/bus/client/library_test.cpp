// SPDX-License-Identifier: Apache-2.0
// recap/client.hpp as a host program uses it.
#include <poll.h>
#include <sdbus-c++/sdbus-c++.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

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
    const auto enabled = client->enableCapsule("nothing");
    ASSERT_FALSE(enabled);
    EXPECT_EQ(enabled.error().code, Errc::NotFound);
    EXPECT_EQ(enabled.error().message, "no capsule 'nothing'");
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

// As a program with a loop of its own does it, which asks recapd other things meanwhile.
TEST_F(Library, ALoopIsToldOfAllThatHasCome) {
    const auto run = client->run({.capsule = "sh", .target = "web", .args = {"exit 9"}});
    while (!run.ended()) {
        ASSERT_TRUE(client->backends()) << "its answer may come after others, which are then read already";
        pollfd ready{client->fd(), client->events(), 0};
        EXPECT_TRUE(ready.events & POLLIN);
        const int patience = client->deadline() == 0 ? 0 : static_cast<int>(kPatience.count()) * 1000;
        ASSERT_TRUE(::poll(&ready, 1, patience) > 0 || patience == 0) << "there is nothing to wait for";
        for (auto more = client->pump(); more && *more;) more = client->pump();
    }
    ASSERT_NE(run.end(), nullptr);
    EXPECT_EQ(run.end()->exitCode, 9);
    EXPECT_EQ(client->deadline(), UINT64_MAX) << "nothing is under way";
}

TEST_F(Library, RefusesWhatTheBusCannotCarryAndGoesOn) {
    const auto run = client->run({.capsule = "sh", .target = "web", .args = {"fine", "b\xff"}});
    ASSERT_NE(run.failure(), nullptr);
    EXPECT_EQ(run.failure()->code, Errc::InvalidArgument);
    EXPECT_THAT(run.failure()->message, testing::HasSubstr("'b\xff'"));
    EXPECT_EQ(client->plan("sh\xff", "web", {}).error().code, Errc::InvalidArgument);
    EXPECT_EQ(client->targets({{"labels", client::Labels{{"\xff", ""}}}}).error().code, Errc::InvalidArgument);
    EXPECT_TRUE(client->backends());
}

// recapd as it should not be.
struct Strange : testing::Test {
    PrivateBus bus;
    std::unique_ptr<sdbus::IConnection> connection;
    std::unique_ptr<sdbus::IObject> manager;
    std::optional<client::Client> client;
    void SetUp() override {
        ::setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1);
        connection = sdbus::createSystemBusConnection("org.recap1");
        manager = sdbus::createObject(*connection, "/org/recap1");
        using Options = std::map<std::string, sdbus::Variant>;
        const auto run = [](const std::string& capsule, const std::string&, const std::vector<std::string>&, const Options&) {
            return capsule;
        };
        manager->registerMethod("Run").onInterface("org.recap1.Manager").implementedAs(run);
        manager->registerMethod("ListBackends").onInterface("org.recap1.Manager").implementedAs([](const Options&) { return 7; });
        manager->finishRegistration();
        connection->enterEventLoopAsync();
        auto connected = client::Client::connect();
        ASSERT_TRUE(connected) << connected.error().message;
        client.emplace(std::move(*connected));
    }
};

TEST_F(Strange, AnswersThatAreNoRunsAreFailures) {
    const auto run = client->run({.capsule = "not a path", .target = "web"});
    client->kill(run);  // of nothing that is a run's object
    while (!run.ended()) ASSERT_TRUE(client->wait());
    ASSERT_NE(run.failure(), nullptr);
    EXPECT_THAT(run.failure()->message, testing::HasSubstr("'not a path'"));
    EXPECT_FALSE(run.accepted());
    const auto backends = client->backends();
    ASSERT_FALSE(backends);
    EXPECT_EQ(backends.error().code, Errc::Io);
    EXPECT_THAT(backends.error().message, testing::HasSubstr("'i'"));
}

TEST_F(Library, EndsEveryRunWhenTheBusGoes) {
    const auto run = client->run({.capsule = "vanish", .target = "web"});
    finish(run);
    ASSERT_NE(run.failure(), nullptr);
    EXPECT_EQ(run.failure()->code, Errc::Unavailable);
    EXPECT_FALSE(client->backends());
}

TEST(BusThatGoes, EndsWhatIsUnderWayAndNothingElse) {
    ::signal(SIGPIPE, SIG_DFL);
    PrivateBus bus;
    ::setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address().c_str(), 1);
    auto client = client::Client::connect();
    ASSERT_TRUE(client) << client.error().message;
    struct sigaction now {};
    ASSERT_EQ(::sigaction(SIGPIPE, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, SIG_DFL) << "what becomes of SIGPIPE is the program's to say";
    const auto run = client->run({.capsule = "sh", .target = "web"});
    bus.stop();
    while (!run.ended())
        if (!client->wait()) break;
    ASSERT_NE(run.failure(), nullptr);
    EXPECT_EQ(run.failure()->code, Errc::Unavailable);
    EXPECT_FALSE(client->pump());
    EXPECT_EQ(client->backends().error().code, Errc::Unavailable);
    EXPECT_EQ(client->run({.capsule = "sh", .target = "web"}).failure()->code, Errc::Unavailable);
    EXPECT_FALSE(client::Client::connect());
}

}  // namespace
}  // namespace recap::test
