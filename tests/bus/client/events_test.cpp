// SPDX-License-Identifier: Apache-2.0
// recapctl events, and the signals that start capsules, with a recapd that has no targets: a batch on none of them tells all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sdbus-c++/sdbus-c++.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bus/client/recapd.hpp"

namespace recap::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

struct EventsTest : testing::Test {
    Recapd recapd;
    TempDir folder;
    std::unique_ptr<sdbus::IConnection> service;
    std::unique_ptr<sdbus::IObject> object;

    void SetUp() override {
        ASSERT_TRUE(recapd.ready());
        ::setenv("DBUS_SYSTEM_BUS_ADDRESS", recapd.bus().address().c_str(), 1);
        service = sdbus::createSystemBusConnection();
        service->requestName("org.example.Backup");
        object = sdbus::createObject(*service, "/org/example/Backup");
    }
    Command command(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), (binDir() / "recapctl").string());
        return {.argv = std::move(arguments), .env = recapd.bus().environment()};
    }
    CommandResult recapctl(std::vector<std::string> arguments) const { return run(command(std::move(arguments))); }
    CommandResult install(const std::string& match) const {
        writeFile(
            folder.path() / "capsule.toml",
            "manifest = 1\n[capsule]\nname = \"on-signal\"\nimage = \"test/none:1\"\n[[schedule.event]]\non = \"dbus-signal\"\nmatch = \"" +
                match + "\"\n");
        return recapctl({"capsule", "install", "--replace", (folder.path() / "capsule.toml").string()});
    }
    void emit() const {
        auto signal = object->createSignal("org.example.Backup1", "Finished");
        object->emitSignal(signal);
    }
    static std::vector<json> linesOf(const std::string& out) {
        std::vector<json> lines;
        std::istringstream text(out);
        for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line, nullptr, false));
        return lines;
    }
    static std::size_t count(const std::string& out, const std::string& what) {
        std::size_t found = 0;
        for (const auto& line : linesOf(out)) found += line.is_object() && line.at("what") == what;
        return found;
    }
    // Until it has told of that more often: what is done may be before anybody listens.
    static bool tells(Child& follower, const std::string& what, const std::function<void()>& act) {
        const std::size_t before = count(follower.readOut(), what);
        return waitUntil(
            [&] {
                act();
                return count(follower.readOut(), what) > before;
            },
            Deadline(kPatience));
    }
    static bool hasToldOnce(Child& follower, const std::string& what) {
        return waitUntil([&] { return count(follower.readOut(), what) == 1; }, Deadline(kPatience));
    }
};

TEST_F(EventsTest, ASignalStartsAnEnabledCapsuleAndWhoFollowsIsTold) {
    const CommandResult installed = install("sender='org.example.Backup',member='Finished'");
    ASSERT_TRUE(installed.ok()) << installed.all();
    ASSERT_TRUE(recapctl({"capsule", "enable", "on-signal"}).ok());
    EXPECT_THAT(recapctl({"schedule"}).out, HasSubstr("on dbus-signal (type='signal',sender='org.example.Backup',member='Finished')"));
    Child follower(command({"events", "--follow", "--json"}));
    ASSERT_TRUE(tells(follower, "batch-finished", [this] { emit(); })) << follower.out();
    EXPECT_GE(count(follower.out(), "batch-started"), 1u);
    ASSERT_TRUE(tells(follower, "run-finished", [this] { recapctl({"run", "nope", "web"}); })) << "those that are asked for, too";

    recapd.end();
    ASSERT_TRUE(hasToldOnce(follower, "recapd-gone")) << follower.out();
    recapd.start();
    ASSERT_TRUE(hasToldOnce(follower, "recapd-back")) << follower.out();
    ASSERT_TRUE(tells(follower, "batch-finished", [this] { emit(); })) << "the next recapd listens, and this one to it";
    follower.signal(SIGINT);
    EXPECT_EQ(follower.wait(Deadline(kPatience)).status, 0);
    for (const auto& line : linesOf(follower.out())) EXPECT_EQ(line.value("schema", 0), 1) << line;
    EXPECT_EQ(count(follower.out(), "recapd-gone"), 1u);
    EXPECT_EQ(count(follower.out(), "recapd-back"), 1u);
}

TEST_F(EventsTest, ARuleThatAnybodyCouldMeetIsRefusedByName) {
    EXPECT_THAT(install("type='signal',member='Finished'").err,
                AllOf(HasSubstr("capsule.toml:7:"), HasSubstr("match rule 'type='signal',member='Finished''"), HasSubstr("no sender")));
    EXPECT_THAT(install("sender='org.example.Backup',member='Finished',eavesdrop='true'").err, HasSubstr("eavesdrop"));
    EXPECT_THAT(recapctl({"capsules", "--no-legend"}).out, IsEmpty());
}

TEST_F(EventsTest, WhatIsDisabledIsNotListenedTo) {
    const auto connections = [this] {
        return run(Command{.argv = {"busctl", "--address=" + recapd.bus().address(), "list", "--unique", "--no-legend"}}).out;
    };
    const auto recapds = [&] {
        const std::string all = connections();
        std::size_t found = 0;
        for (std::size_t at = 0; (at = all.find(" recapd ", at)) != std::string::npos; ++at) ++found;
        return found;
    };
    EXPECT_EQ(recapds(), 1u);
    const CommandResult installed = install("sender='org.example.Backup',member='Finished'");
    ASSERT_TRUE(installed.ok()) << installed.all();
    ASSERT_TRUE(recapctl({"capsule", "enable", "on-signal"}).ok());
    EXPECT_TRUE(waitUntil([&] { return recapds() == 2; }, Deadline(kPatience))) << connections();
    ASSERT_TRUE(recapctl({"capsule", "disable", "on-signal"}).ok());
    EXPECT_TRUE(waitUntil([&] { return recapds() == 1; }, Deadline(kPatience))) << connections();
}

TEST_F(EventsTest, WithoutFollowingOnlyWhatIsPastIsSaid) {
    recapctl({"run", "nope", "web"});
    EXPECT_EQ(recapctl({"events"}).out, "") << "somebody asked for that";
    const auto result = recapctl({"events", "--since", "1h", "--json"});
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.status, 0);
}

}  // namespace
}  // namespace recap::test
