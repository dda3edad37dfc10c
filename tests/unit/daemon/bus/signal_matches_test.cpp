// SPDX-License-Identifier: Apache-2.0
// Signals that enabled capsules wait for, on a bus of their own: whose count, and what many of them cost.
#include "daemon/bus/signal_matches.hpp"

#include <gmock/gmock.h>

#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

using bus::SignalLimits;
using bus::SignalMatches;
using bus::SignalRule;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

constexpr const char* kName = "org.example.Backup";
constexpr const char* kInterface = "org.example.Backup1";
constexpr const char* kPath = "/org/example/Backup";

std::string rule(const std::string& rest) {
    return std::string("type='signal',sender='") + kName + "',interface='" + kInterface + "'" + rest;
}
const std::string kFinished = rule(",member='Finished'");
const std::string kMarker = rule(",member='Marker'");

// Somebody on the bus.
class Somebody {
public:
    void emit(const std::string& member, const std::string& text, const std::string& to = {}) {
        auto signal = object_->createSignal(kInterface, member);
        signal << text;
        if (!to.empty()) signal.setDestination(to);
        object_->emitSignal(signal);
    }
    // The bus has had what was sent before.
    std::vector<std::string> names() {
        auto driver = sdbus::createProxy(*connection, "org.freedesktop.DBus", "/org/freedesktop/DBus");
        std::vector<std::string> all;
        driver->callMethod("ListNames").onInterface("org.freedesktop.DBus").storeResultsTo(all);
        std::erase_if(all, [](const std::string& name) { return !name.starts_with(':'); });
        return all;
    }
    std::unique_ptr<sdbus::IConnection> connection = sdbus::createSystemBusConnection();

private:
    std::unique_ptr<sdbus::IObject> object_ = sdbus::createObject(*connection, kPath);
};

struct SignalMatchesTest : testing::Test {
    std::unique_ptr<OpenBus> daemon = std::make_unique<OpenBus>();
    EventLoop loop = newLoop();
    std::unique_ptr<Somebody> owner = std::make_unique<Somebody>();
    std::uint64_t now = monotonicMicroseconds();
    std::vector<std::pair<std::string, Occurrence>> heard;
    std::unique_ptr<SignalMatches> matches;

    SignalMatchesTest() {
        owner->connection->requestName(kName);
        open({});
    }
    void open(const SignalLimits& limits) {
        matches = std::make_unique<SignalMatches>(
            loop.get(), [this](const std::string& match, const Occurrence& occurrence) { heard.emplace_back(match, occurrence); }, limits,
            [this] { return now; });
    }
    void turnUntil(const std::function<bool()>& holds) {
        for (const Deadline deadline(kPatience); !holds() && !deadline.passed();) sd_event_run(loop.get(), 100'000);
        ASSERT_TRUE(holds());
    }
    void keep(const std::vector<std::string>& rules, std::chrono::microseconds cooldown = {}) {
        std::vector<SignalRule> wanted;
        for (const auto& one : rules) wanted.push_back({one, kName, cooldown});
        ASSERT_TRUE(matches->keep(wanted));
        turnUntil([&] { return std::ranges::all_of(rules, [&](const std::string& one) { return matches->listens(one); }); });
    }
    // Everything that anybody has sent before is heard, or is not going to be.
    void settle() {
        const auto marked = [&] { return std::ranges::count(heard, kMarker, &std::pair<std::string, Occurrence>::first); };
        const auto before = marked();
        owner->emit("Marker", "");
        turnUntil([&] { return marked() > before; });
        std::erase_if(heard, [](const auto& one) { return one.first == kMarker; });
    }
    std::vector<std::string> said() const {
        std::vector<std::string> texts;
        for (const auto& [match, occurrence] : heard) texts.push_back(occurrence.facts.at("arg0"));
        return texts;
    }
};

TEST_F(SignalMatchesTest, TellsOfASignalOfTheNamesOwner) {
    keep({kFinished, kMarker});
    owner->emit("Finished", "web");
    owner->emit("Begun", "web");
    settle();
    ASSERT_THAT(heard, SizeIs(1));
    EXPECT_EQ(heard[0].first, kFinished);
    const Occurrence occurrence = heard[0].second;
    EXPECT_EQ(occurrence.on, "dbus-signal");
    EXPECT_THAT(occurrence.facts,
                AllOf(Contains(Pair("service", kName)), Contains(Pair("sender", owner->connection->getUniqueName())),
                      Contains(Pair("path", kPath)), Contains(Pair("interface", kInterface)), Contains(Pair("member", "Finished")),
                      Contains(Pair("arg0", "web")), Contains(Pair("signature", "s"))));
    EXPECT_TRUE(occurrence.cause.starts_with(owner->connection->getUniqueName() + " ")) << occurrence.cause;
    owner->emit("Finished", "web");
    settle();
    ASSERT_THAT(heard, SizeIs(2));
    EXPECT_NE(heard[1].second.cause, occurrence.cause) << "each is one of its own";
}

TEST_F(SignalMatchesTest, BelievesNobodyElseHoweverItIsSent) {
    keep({kFinished, kMarker});
    Somebody impostor;
    impostor.emit("Finished", "to everybody");
    for (const auto& name : impostor.names()) impostor.emit("Finished", "to this one", name);
    impostor.names();
    settle();
    EXPECT_THAT(heard, SizeIs(0));
    for (const auto& name : owner->names()) owner->emit("Finished", "by the owner, to this one", name);
    settle();
    EXPECT_THAT(heard, SizeIs(0)) << "only what is said to everybody counts";
    owner->emit("Finished", "true");
    settle();
    EXPECT_THAT(said(), ElementsAre("true"));
}

TEST_F(SignalMatchesTest, KnowsWhoOwnsTheNameNow) {
    keep({kFinished, kMarker});
    Somebody heir;
    owner->emit("Finished", "first");
    settle();
    owner->connection->releaseName(kName);
    owner->emit("Finished", "no more");
    owner->names();
    heir.connection->requestName(kName);
    heir.emit("Finished", "second");
    turnUntil([&] { return heard.size() >= 2; });
    EXPECT_THAT(said(), ElementsAre("first", "second"));
    owner->emit("Finished", "no more");
    owner->names();
    heir.emit("Finished", "third");
    turnUntil([&] { return heard.size() >= 3; });
    EXPECT_THAT(said(), ElementsAre("first", "second", "third"));
}

TEST_F(SignalMatchesTest, AServiceMayComeLater) {
    owner->connection->releaseName(kName);
    keep({kFinished});
    owner->emit("Finished", "too early");
    owner->connection->requestName(kName);
    owner->emit("Finished", "now");
    turnUntil([&] { return !heard.empty(); });
    EXPECT_THAT(said(), ElementsAre("now"));
}

TEST_F(SignalMatchesTest, TheBusItselfIsAService) {
    const std::string changes = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.example.Other'";
    ASSERT_TRUE(matches->keep({{changes, "org.freedesktop.DBus"}}));
    turnUntil([&] { return matches->listens(changes); });
    owner->connection->requestName("org.example.Another");
    owner->connection->requestName("org.example.Other");
    turnUntil([&] { return !heard.empty(); });
    ASSERT_THAT(heard, SizeIs(1));
    EXPECT_THAT(heard[0].second.facts, AllOf(Contains(Pair("arg0", "org.example.Other")), Contains(Pair("arg1", "")),
                                             Contains(Pair("arg2", owner->connection->getUniqueName()))));
}

TEST_F(SignalMatchesTest, ARuleIsOneHoweverManyWantItAndGoesWithTheLast) {
    keep({kFinished, kMarker, kFinished});
    EXPECT_EQ(matches->size(), 2u);
    owner->emit("Finished", "once");
    settle();
    EXPECT_THAT(said(), ElementsAre("once"));
    const std::string narrow = rule(",member='Finished',arg0='web'");
    keep({kMarker, narrow});
    owner->emit("Finished", "other");
    owner->emit("Finished", "web");
    settle();
    EXPECT_THAT(said(), ElementsAre("once", "web"));
    EXPECT_EQ(heard.back().first, narrow);
    const std::size_t there = owner->names().size();
    keep({});
    EXPECT_EQ(matches->size(), 0u);
    turnUntil([&] { return owner->names().size() == there - 1; });
}

TEST_F(SignalMatchesTest, MoreRulesThanItListensToAreRefusedAndTheFirstStay) {
    SignalLimits limits;
    limits.rules = 2;
    open(limits);
    keep({kFinished, kMarker});
    const auto more = matches->keep({{rule(",member='Another'"), kName, {}}, {kFinished, kName, {}}, {kMarker, kName, {}}});
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().code, Errc::LimitExceeded);
    EXPECT_THAT(more.error().message, AllOf(HasSubstr("3 different match rules"), HasSubstr("listens for 2")));
    EXPECT_TRUE(matches->keep({{rule(",member='Another'"), kName, {}}, {kFinished, kName, {}}, {kMarker, kName, {}}})) << "that is known";
    EXPECT_EQ(matches->problemOf(rule(",member='Another'")), "enabled capsules wait for signals by more than 2 different match rules");
    EXPECT_EQ(matches->problemOf(kFinished), "");
    owner->emit("Finished", "still");
    settle();
    EXPECT_THAT(said(), ElementsAre("still"));
}

TEST_F(SignalMatchesTest, WhatTheBusRefusesIsSaid) {
    const std::string wrong = rule(",path='no path'");
    ASSERT_TRUE(matches->keep({{wrong, kName, {}}}));
    EXPECT_EQ(matches->problemOf(wrong), "") << "the bus has not said anything yet";
    turnUntil([&] { return !matches->problemOf(wrong).empty(); });
    EXPECT_THAT(matches->problemOf(wrong), HasSubstr("the bus refuses its match rule: org.freedesktop.DBus.Error.MatchRuleInvalid"));
}

TEST_F(SignalMatchesTest, AFloodIsNotListenedToForItsCooldown) {
    SignalLimits limits;
    limits.flood = 10;
    open(limits);
    ASSERT_TRUE(matches->keep({{kFinished, kName, 2h}, {kMarker, kName, {}}, {kFinished, kName, 1h}}));
    turnUntil([&] { return matches->listens(kFinished) && matches->listens(kMarker); });
    for (int i = 0; i < 40; ++i) owner->emit("Finished", "again");
    settle();
    EXPECT_THAT(heard, SizeIs(10));
    EXPECT_FALSE(matches->listens(kFinished));
    EXPECT_THAT(matches->problemOf(kFinished), AllOf(HasSubstr("more than 10 such signals a second"), HasSubstr("for another 3600 s")));
    EXPECT_EQ(matches->problemOf(kMarker), "");
    now += std::chrono::microseconds(59min).count();
    matches->resume();
    owner->emit("Finished", "within the cooldown");
    settle();
    EXPECT_THAT(heard, SizeIs(10));
    now += std::chrono::microseconds(2min).count();
    matches->resume();
    turnUntil([&] { return matches->listens(kFinished); });
    EXPECT_EQ(matches->problemOf(kFinished), "");
    owner->emit("Finished", "afterwards");
    settle();
    ASSERT_THAT(heard, SizeIs(11));
    EXPECT_EQ(heard.back().second.facts.at("arg0"), "afterwards");
}

TEST_F(SignalMatchesTest, AFewAtATimeAreNoFlood) {
    SignalLimits limits;
    limits.flood = 10;
    open(limits);
    keep({kFinished, kMarker}, 1h);
    for (int i = 0; i < 4; ++i) {
        for (int k = 0; k < 10; ++k) owner->emit("Finished", "again");
        settle();
        now += 1'000'000;
    }
    EXPECT_THAT(heard, SizeIs(40));
}

TEST_F(SignalMatchesTest, ABusThatWasLostIsConnectedToAgain) {
    SignalLimits limits;
    limits.windowUsec = 1000;  // until then
    matches = std::make_unique<SignalMatches>(
        loop.get(), [this](const std::string& match, const Occurrence& occurrence) { heard.emplace_back(match, occurrence); }, limits);
    keep({kFinished});
    owner.reset();
    daemon->kill();
    daemon = std::make_unique<OpenBus>();
    owner = std::make_unique<Somebody>();
    const std::size_t without = owner->names().size();
    turnUntil([&] { return owner->names().size() > without; });
    turnUntil([&] { return matches->listens(kFinished); });
    owner->connection->requestName(kName);
    owner->emit("Finished", "on the new bus");
    turnUntil([&] { return !heard.empty(); });
    EXPECT_THAT(said(), ElementsAre("on the new bus"));
}

TEST_F(SignalMatchesTest, ABusThatNobodyWaitsForAnyMoreIsNotTriedAgain) {
    SignalLimits limits;
    limits.windowUsec = 1;  // until then
    open(limits);
    daemon->kill();
    EXPECT_EQ(matches->keep({{kFinished, kName, {}}}).error().code, Errc::Unavailable);
    EXPECT_THAT(matches->problemOf(kFinished), HasSubstr("the connection to the system bus for signals is lost"));
    EXPECT_TRUE(matches->keep({}));
    int turns = 0;
    while (turns < 10 && sd_event_run(loop.get(), 100'000) > 0) ++turns;
    EXPECT_LT(turns, 10) << "the loop has nothing to do";
}

TEST_F(SignalMatchesTest, WhatAListenerThrowsStaysOutOfTheLoop) {
    matches = std::make_unique<SignalMatches>(loop.get(), [this](const std::string& match, const Occurrence& occurrence) {
        heard.emplace_back(match, occurrence);
        throw std::runtime_error("no");
    });
    keep({kFinished});
    owner->emit("Finished", "one");
    turnUntil([&] { return heard.size() == 1; });
    owner->emit("Finished", "two");
    turnUntil([&] { return heard.size() == 2; });
    EXPECT_THAT(said(), ElementsAre("one", "two"));
}

}  // namespace
}  // namespace recap::test
