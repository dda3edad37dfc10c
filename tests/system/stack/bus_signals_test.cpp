// SPDX-License-Identifier: Apache-2.0
// What recapd tells and does over its bus while real capsules run on a real container.
#include <poll.h>
#include <sdbus-c++/sdbus-c++.h>

#include <map>

#include "tests/support/wait.hpp"
#include "tests/system/stack/stack_fixture.hpp"

namespace recap::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Values = std::map<std::string, sdbus::Variant>;
using Names = std::vector<std::string>;

constexpr const char* kService = "org.recap1";
constexpr const char* kPath = "/org/recap1";
constexpr const char* kManager = "org.recap1.Manager";
constexpr const char* kRun = "org.recap1.Run";

std::string text(const Values& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? "" : found->second.get<std::string>();
}

// A client of its own on the bus; what it is told, in order, as "SIGNAL: words".
class Listener {
public:
    Listener() : bus_(sdbus::createSystemBusConnection()), manager_(sdbus::createProxy(*bus_, kService, kPath)) {
        manager_->uponSignal("InterfacesAdded")
            .onInterface("org.freedesktop.DBus.ObjectManager")
            .call([this](const sdbus::ObjectPath& path, const std::map<std::string, Values>& interfaces) {
                if (interfaces.contains(kRun)) tell("InterfacesAdded", path);
            });
        manager_->uponSignal("RunStarted").onInterface(kManager).call([this](const sdbus::ObjectPath& path, const Values& details) {
            tell("RunStarted", path + " " + text(details, "capsule") + " " + text(details, "target"));
        });
        manager_->uponSignal("RunFinished")
            .onInterface(kManager)
            .call([this](const sdbus::ObjectPath& path, const std::string& outcome, std::int32_t status, const Values& details) {
                tell("RunFinished", path + " " + outcome + " " + std::to_string(status) + " " + text(details, "escape"));
            });
        manager_->uponSignal("TargetAdded").onInterface(kManager).call([this](const std::string& target, const Values&) {
            tell("TargetAdded", target);
        });
        manager_->uponSignal("TargetRemoved").onInterface(kManager).call([this](const std::string& target, const Values&) {
            tell("TargetRemoved", target);
        });
        manager_->finishRegistration();
        rule_ = bus_->addMatch(
            "type='signal',sender='org.recap1',interface='org.freedesktop.DBus.Properties',"
            "member='PropertiesChanged',arg0='org.recap1.Run'",
            [this](sdbus::Message& message) {
                std::string interface;
                Values changed;
                message >> interface >> changed;
                tell("PropertiesChanged", message.getPath() + " " + text(changed, "State"));
            });
    }

    sdbus::ObjectPath run(const std::string& capsule, const std::string& target, const Names& words, const Values& options = {}) {
        sdbus::ObjectPath path;
        manager_->callMethod("Run").onInterface(kManager).withArguments(capsule, target, words, options).storeResultsTo(path);
        return path;
    }
    template <class... Arguments>
    void call(const sdbus::ObjectPath& path, const std::string& method, const Arguments&... arguments) {
        sdbus::createProxy(*bus_, kService, path)->callMethod(method).onInterface(kRun).withArguments(arguments..., Values{});
    }

    // Until it has been told something that begins so; returns that, or "" when it is not.
    std::string waitFor(const std::string& beginning) {
        const Deadline deadline{kPatience};
        for (;;) {
            for (const auto& line : told_)
                if (line.rfind(beginning, 0) == 0) return line;
            while (bus_->processPendingRequest()) {
            }
            const auto data = bus_->getEventLoopPollData();
            pollfd bus{data.fd, data.events, 0};
            if (deadline.passed()) return {};
            ::poll(&bus, 1, std::min(data.getPollTimeout() < 0 ? 100 : data.getPollTimeout(), 100));
        }
    }
    // The signals about this run, without what follows its path.
    std::vector<std::string> signalsOf(const std::string& path) const {
        std::vector<std::string> names;
        for (const auto& line : told_)
            if (line.find(path) != std::string::npos) names.push_back(line.substr(0, line.find(':')));
        return names;
    }

private:
    void tell(const std::string& signal, const std::string& words) { told_.push_back(signal + ": " + words); }

    std::unique_ptr<sdbus::IConnection> bus_;
    std::unique_ptr<sdbus::IProxy> manager_;
    sdbus::Slot rule_;
    std::vector<std::string> told_;
};

std::string idOf(const sdbus::ObjectPath& path) { return path.substr(path.rfind('/') + 1); }

class Signals : public StackTest {
protected:
    void TearDown() override { EXPECT_THAT(left(), IsEmpty()) << Stack::get().logs(); }
    Listener listener_;
};

TEST_F(Signals, ARunIsToldFromItsObjectToItsEnd) {
    const auto path = listener_.run("t-payload", target(), {"exit", "7"});
    EXPECT_EQ(listener_.waitFor("RunFinished: " + path), "RunFinished: " + path + " failed 7 clean");
    EXPECT_EQ(listener_.waitFor("RunStarted: " + path), "RunStarted: " + path + " t-payload " + target());
    auto signals = listener_.signalsOf(path);
    ASSERT_GE(signals.size(), 4u) << ::testing::PrintToString(signals);
    EXPECT_EQ(signals.front(), "InterfacesAdded");
    EXPECT_EQ(signals[1], "RunStarted") << ::testing::PrintToString(signals);
    // whoever keeps properties has the last of them when it hears of the end
    EXPECT_THAT(std::vector(signals.end() - 2, signals.end()), ElementsAre("PropertiesChanged", "RunFinished"));
    EXPECT_NE(listener_.waitFor("PropertiesChanged: " + path + " finished"), "");
}

TEST_F(Signals, ARunUnderWayTellsThatItRuns) {
    const auto path = listener_.run("t-payload", target(), {"rest"});
    EXPECT_NE(listener_.waitFor("PropertiesChanged: " + path + " running"), "");
    listener_.call(path, "Stop", 0u);
    EXPECT_EQ(listener_.waitFor("RunFinished: " + path), "RunFinished: " + path + " killed 137 clean");
}

TEST_F(Signals, ARefusedRunHasAnObjectAndAnEndAndNoStart) {
    const auto path = listener_.run("t-absent", target(), {});
    EXPECT_THAT(listener_.waitFor("RunFinished: " + path), HasSubstr("not-started"));
    EXPECT_THAT(listener_.signalsOf(path), ElementsAre("InterfacesAdded", "PropertiesChanged", "RunFinished"));
}

TEST_F(Signals, KillEndsWhatIgnoresEverySignal) {
    const auto path = listener_.run("t-payload", target(), {"ignore"});
    EXPECT_TRUE(Stack::get().waitForLog(idOf(path), "ignoring"));
    listener_.call(path, "Kill");
    EXPECT_EQ(listener_.waitFor("RunFinished: " + path), "RunFinished: " + path + " killed 137 clean");
}

TEST_F(Signals, SignalReachesThePayload) {
    const auto path = listener_.run("t-payload", target(), {"rest"});
    EXPECT_TRUE(Stack::get().waitForLog(idOf(path), "resting"));
    listener_.call(path, "Signal", std::int32_t{SIGUSR1});
    EXPECT_EQ(listener_.waitFor("RunFinished: " + path), "RunFinished: " + path + " killed 138 clean");
}

TEST_F(Signals, ARunOfACallerThatLeavesEndsWithItAndADetachedOneDoesNot) {
    sdbus::ObjectPath bound, detached;
    {
        Listener caller;
        bound = caller.run("t-payload", target(), {"rest"}, {{"lifetime", sdbus::Variant(std::string("caller"))}});
        detached = caller.run("t-payload", target(), {"rest"});
        EXPECT_TRUE(Stack::get().waitForLog(idOf(bound), "resting"));
    }
    EXPECT_THAT(listener_.waitFor("RunFinished: " + bound), AllOf(HasSubstr("killed"), HasSubstr("clean")));
    EXPECT_TRUE(Stack::get().waitForLog(idOf(detached), "resting"));
    EXPECT_NE(Stack::get().ctlJson({"show", idOf(detached)}).value("state", ""), "finished");
    listener_.call(detached, "Kill");
    EXPECT_NE(listener_.waitFor("RunFinished: " + detached), "");
}

TEST_F(Signals, ATargetThatComesAndGoesIsTold) {
    MicroContainer other{{.kind = "busybox", .runtimeRoot = kRuncRoot}};
    EXPECT_NE(listener_.waitFor("TargetAdded: " + targetOf(other)), "");
    other.kill();
    EXPECT_NE(listener_.waitFor("TargetRemoved: " + targetOf(other)), "");
}

}  // namespace
}  // namespace recap::test
