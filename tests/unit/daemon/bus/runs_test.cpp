// SPDX-License-Identifier: Apache-2.0
// Runs: what is asked, and what is told of them.
#include <systemd/sd-bus.h>

#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

const std::string kReplacement = "\xef\xbf\xbd";
const std::string kRunPath = std::string("/org/recap1/run/") + kId;
using Names = std::vector<std::string>;

struct RunsTest : House {
    std::string run(const std::string& capsule, const std::string& target, const char* method = "Run") {
        if (method == std::string("Plan")) return callManager<Values>(method, capsule, target, Names(), Values()).outcome;
        return callManager<sdbus::ObjectPath>(method, capsule, target, Names(), Values()).outcome;
    }
    RunPlan plan(const std::string& caller = {}) {
        RunPlan plan;
        plan.id = kId;
        plan.request.capsule = "tool";
        plan.target.id = {"process", "\xff"};
        plan.request.lifetime = caller.empty() ? Lifetime::Detached : Lifetime::Caller;
        plan.request.caller.busName = caller;
        return plan;
    }
};

TEST_F(RunsTest, NamesThatAreTooLongAreRefusedFirst) {
    for (const char* method : {"Run", "Plan"}) {
        EXPECT_EQ(errorName(run("tool", std::string(513, 'x'), method)), "org.recap1.Error.InvalidArgument");
        EXPECT_EQ(errorName(run(std::string(65, 'x'), "process:1", method)), "org.recap1.Error.InvalidArgument");
    }
    for (const Names& args : {Names(513, "x"), Names{std::string(64 * 1024, 'x')}})
        EXPECT_EQ(errorName(callManager<sdbus::ObjectPath>("Run", std::string("tool"), std::string("process:1"), args, Values()).outcome),
                  "org.recap1.Error.InvalidArgument");
    EXPECT_TRUE(runs.submitted.empty());
    EXPECT_EQ(run("tool", std::string(512, 'x')), "ok");
}

TEST_F(RunsTest, WhatIsThrownAfterTheDecisionIsTheAnswer) {
    runs.broken = true;
    EXPECT_EQ(run("tool", "process:1"), "org.recap1.Error.Internal: broken inside");
}

TEST_F(RunsTest, AnEndIsToldWhateverItsWordsAre) {
    haveRun(kId);
    Values told;
    std::string escape;
    int changes = 0;
    auto listener = sdbus::createProxy(*client, "org.recap1", "/org/recap1");
    listener->uponSignal("RunFinished")
        .onInterface(kManager)
        .call([&](const sdbus::ObjectPath&, const std::string&, std::int32_t, const Values& details) { told = details; });
    listener->finishRegistration();
    auto object = sdbus::createProxy(*client, "org.recap1", kRunPath);
    object->uponSignal("PropertiesChanged")
        .onInterface("org.freedesktop.DBus.Properties")
        .call([&](const std::string&, const Values& now, const Names&) {
            ++changes;
            if (now.contains("Escape")) escape = now.at("Escape").get<std::string>();
        });
    object->finishRegistration();
    // Within one turn: one PropertiesChanged.
    service->started(plan());
    service->changed(kId, {});
    service->changed(kId, {});
    turnUntil([&] { return changes > 0; });
    EXPECT_EQ(changes, 1);

    auto& record = runs.runs[kId];
    record.state = RunState::Finished;
    record.report.id = kId;
    record.report.detail = "\xff";
    record.report.left = {"mount \xef\xbf\xbf"};
    service->changed(kId, {});
    service->finished(record.report);
    turnUntil([&] { return !told.empty(); });
    EXPECT_EQ(told.at("detail").get<std::string>(), kReplacement);
    EXPECT_EQ(told.at("escape").get<std::string>(), "left: mount " + kReplacement);
    EXPECT_EQ(escape, "left: mount " + kReplacement);
    EXPECT_EQ(changes, 2);
}

TEST_F(RunsTest, ACallerThatLeavesIsNoticed) {
    haveRun(kId);
    auto caller = sdbus::createSystemBusConnection();
    const std::string name = caller->getUniqueName();
    service->started(plan(name));
    turn();
    EXPECT_TRUE(runs.gone.empty());
    caller.reset();
    turnUntil([&] { return !runs.gone.empty(); });
    EXPECT_EQ(runs.gone, Names{name});
}

// Whoever is on the bus may send recapd a signal that looks like the bus's own.
TEST_F(RunsTest, ACallerDoesNotLeaveBySomebodyElsesWord) {
    haveRun(kId);
    auto caller = sdbus::createSystemBusConnection();
    const std::string name = caller->getUniqueName();
    service->started(plan(name));
    sd_bus* raw = nullptr;
    ASSERT_GE(sd_bus_open_system(&raw), 0);
    sd_bus_message* forged = nullptr;
    ASSERT_GE(sd_bus_message_new_signal(raw, &forged, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged"), 0);
    ASSERT_GE(sd_bus_message_append(forged, "sss", name.c_str(), name.c_str(), ""), 0);
    ASSERT_GE(sd_bus_send_to(raw, forged, "org.recap1", nullptr), 0);
    sd_bus_message_unref(forged);
    sd_bus_flush_close_unref(raw);  // who comes after it on the bus is heard after it
    auto other = sdbus::createSystemBusConnection();
    const std::string last = other->getUniqueName();
    other.reset();
    turnUntil([&] { return !runs.gone.empty() && runs.gone.back() == last; });
    EXPECT_THAT(runs.gone, testing::Not(testing::Contains(name)));
}

TEST_F(RunsTest, ACallerThatLeftWhileRecapdWasAwayIsNoticed) {
    auto& adopted = runs.runs[kId];
    adopted.state = RunState::Running;
    adopted.request.lifetime = Lifetime::Caller;
    adopted.request.caller.busName = ":1.99999";
    haveRun(kId);
    turnUntil([&] { return !runs.gone.empty(); });
    EXPECT_EQ(runs.gone, Names{":1.99999"});
}

TEST_F(RunsTest, NoStateFolderInAnError) {
    haveRun(kId);
    runs.outputError = {Errc::Io, "open /state/folder/logs/x: no"};
    const auto reply = call<std::vector<std::uint8_t>, bool>(kRunPath, kRun, "GetOutput", std::string(), std::uint64_t{0}, 1u, Values());
    EXPECT_EQ(reply.outcome, "org.recap1.Error.Io: open logs/x: no");
}

}  // namespace
}  // namespace recap::test
