// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/schedules.hpp"

#include <gmock/gmock.h>

#include "daemon/triggers/enabled.hpp"
#include "tests/unit/daemon/triggers/fakes.hpp"

namespace recap::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint32_t kUser = 1000;

struct NotedBatches : BatchTable {
    std::vector<BatchRequest> started;
    std::vector<const Target*> chosen;
    Result<std::vector<const Target*>> choose(const std::string&, const Selection&, const Reachable&) const override { return chosen; }
    bool full = false;
    Result<BatchId> start(BatchRequest request) override {
        if (full) return fail(Errc::LimitExceeded, "too many");
        started.push_back(std::move(request));
        return BatchId("batch-" + std::to_string(started.size()));
    }
    const BatchRecord* findBatch(const BatchId&) const override { return nullptr; }
    std::vector<const BatchRecord*> currentBatches() const override { return {}; }
    void stopBatch(const BatchId&, std::chrono::microseconds, Reply<void> reply) override { reply({}); }
    void batchCallerGone(const std::string&) override {}
};

struct OneImage : ImageIndex {
    Image image;
    OneImage() { image.digest = std::string(64, 'a'); }
    Result<const Image*> find(std::string_view) const override { return &image; }
    std::vector<const Image*> list() const override { return {&image}; }
};

struct SchedulesTest : World {
    OneImage images;
    NotedBatches batches;
    std::vector<std::string> saved;
    bool diskFull = false;
    std::function<Result<void>()> waitingFor = [] { return Result<void>(); };
    std::unique_ptr<Schedules> schedules;

    void SetUp() override {
        have(3);
        periodic("tool").every = 90s;
        open(true);
        schedules->begin();
        saved.clear();
    }
    void open(bool systemd, const std::string& before = "") {
        ScheduleParts parts{loop.get(), capsules, images, targets, batches, runs, {}, "machine"};
        parts.before = before;
        if (systemd)
            parts.save = [this](const std::string& text) -> Result<void> {
                if (diskFull) return fail(Errc::Io, "disk full");
                saved.push_back(text);
                return {};
            };
        parts.armed = [this] { return waitingFor(); };
        schedules = Schedules::create(parts).value();
    }
    PeriodicSchedule& periodic(const std::string& name) {
        CapsuleInfo& info = capsules.add(name);
        info.image = "recap/" + name + ":1";
        info.revision = 7;
        info.schedule.periodic.emplace();
        return *info.schedule.periodic;
    }
    static EventSchedule event(const std::string& on) {
        EventSchedule made;
        made.on = on;
        return made;
    }
    // "ok" or the sentence.
    std::string enable(const std::string& name, std::uint32_t uid = 0) { return enable(name, uid, asks(capsules.all[name])); }
    std::string enable(const std::string& name, std::uint32_t uid, const std::string& shown) {
        std::string said;
        schedules->enable(name, uid, shown, [&](const Result<void>& enabled) { said = enabled ? "ok" : enabled.error().message; });
        while (said.empty()) sd_event_run(loop.get(), UINT64_MAX);
        return said;
    }
    std::string refusal(const std::string& name) {
        const auto run = schedules->run(name);
        return run ? "none" : run.error().message;
    }
    std::vector<ScheduleRow> rows() {
        std::optional<std::vector<ScheduleRow>> all;
        schedules->list([&](Result<std::vector<ScheduleRow>> listed) { all = std::move(*listed); });
        while (!all) sd_event_run(loop.get(), UINT64_MAX);
        return *all;
    }
    // What a turn of the capsule would have on this target.
    Result<std::optional<Authorisation>> allowed(const Target& target) {
        batches.chosen = {&target};
        const auto run = schedules->run("tool");
        if (!run) return tl::unexpected(run.error());
        return batches.started.back().targets.value().at(0).allowed;
    }
    static Target ofTheHosts(std::uint32_t namespaces) {
        Target target;
        target.id = {"docker", "c9"};
        target.startTime = 42;
        target.facts.emplace();
        target.facts->hostNamespaces = namespaces;
        return target;
    }
};

TEST_F(SchedulesTest, WhatIsEnabledIsInTheFileAndWhatIsDisabledNot) {
    EXPECT_EQ(enable("tool"), "ok");
    periodic("nightly").calendar = "03:00";
    capsules.all["nightly"].schedule.periodic->randomizedDelay = 30s;
    capsules.all["nightly"].schedule.missed = Missed::Skip;
    EXPECT_EQ(enable("nightly"), "ok");
    EXPECT_THAT(saved, ElementsAre("recap-schedule 1\ntool run-once 0 every 90000000\n",
                                   "recap-schedule 1\nnightly skip 30000000 calendar 03:00\ntool run-once 0 every 90000000\n"));
    EXPECT_TRUE(schedules->disable("tool"));
    EXPECT_EQ(saved.back(), "recap-schedule 1\nnightly skip 30000000 calendar 03:00\n");
    const auto times = saved.size();
    schedules->refresh();
    EXPECT_THAT(saved, SizeIs(times)) << "nothing is new";
}

TEST_F(SchedulesTest, APeriodsDelayIsThisHostsShareAndACalendarsIsSystemds) {
    capsules.all["tool"].schedule.periodic->randomizedDelay = 30s;
    const auto share = static_cast<std::uint64_t>(hostsShare(30s, "machine", "tool").count());
    ASSERT_NE(share, 0u);
    EXPECT_EQ(enable("tool"), "ok");
    EXPECT_EQ(saved.back(), "recap-schedule 1\ntool run-once " + std::to_string(share) + " every 90000000\n");
    const auto& enabling = capsules.all["tool"].enabling;
    EXPECT_THAT(rows().at(0).next, ElementsAre(enabling.since + 90'000'000 + share));
    EXPECT_TRUE(schedules->run("tool"));
    EXPECT_THAT(rows().at(0).next, ElementsAre(enabling.last + 90'000'000)) << "it is in the time of the first";
}

TEST_F(SchedulesTest, NothingIsArmedBeforeCapsulesAreRead) {
    EXPECT_EQ(enable("tool"), "ok");
    open(true);
    saved.clear();
    schedules->refresh();
    EXPECT_THAT(saved, IsEmpty()) << "an empty file would end every timer";
    schedules->begin();
    EXPECT_THAT(saved, SizeIs(1));
}

TEST_F(SchedulesTest, AFileThatCannotBeReadAtABootTakesNoTimerAway) {
    periodic("other").every = 60s;
    EXPECT_EQ(enable("other"), "ok");
    EXPECT_EQ(enable("tool", kUser), "ok");
    const std::string before = saved.back();
    const CapsuleInfo readable = capsules.all["tool"];
    CapsuleInfo& tool = capsules.all["tool"] = {};
    tool.name = "tool";
    tool.problem = "tool.toml:3:1: unknown key 'imge'";
    tool.enabled = true;
    tool.enabling = readable.enabling;
    open(true, before);
    schedules->begin();
    EXPECT_THAT(saved, SizeIs(3));
    EXPECT_EQ(saved.back(), before);
    const auto all = rows();
    ASSERT_THAT(all, SizeIs(2));
    EXPECT_EQ(all[1].capsule, "tool");
    EXPECT_EQ(all[1].enabler, kUser);
    EXPECT_FALSE(all[1].periodic || all[1].event);
    EXPECT_EQ(all[1].targets, 0u);
    EXPECT_THAT(all[1].problem, AllOf(HasSubstr("can't be read"), HasSubstr("'imge'")));
    EXPECT_THAT(refusal("tool"), HasSubstr("can't be read"));
    EXPECT_TRUE(schedules->disable("tool"));
    EXPECT_EQ(saved.back(), "recap-schedule 1\nother run-once 0 every 60000000\n");
    EXPECT_THAT(rows(), SizeIs(1));
    open(true, "[Timer]\ntool run-once 0 every 60000000\n");
    tool.enabled = true;
    schedules->begin();
    EXPECT_EQ(saved.back(), "recap-schedule 1\nother run-once 0 every 60000000\n") << "that was no schedule file";
}

TEST_F(SchedulesTest, EnabledAndArmedOrNeither) {
    diskFull = true;
    EXPECT_EQ(enable("tool"), "disk full");
    EXPECT_FALSE(capsules.all["tool"].enabled);
}

TEST_F(SchedulesTest, WhatWasEnabledStaysSoWhereEnablingItAnewFails) {
    ASSERT_EQ(enable("tool", kUser), "ok");
    ASSERT_TRUE(schedules->run("tool"));
    const Enabling before = capsules.all["tool"].enabling;
    capsules.all["tool"].schedule.periodic->every = 60s;
    diskFull = true;
    EXPECT_EQ(enable("tool", 0), "disk full");
    EXPECT_TRUE(capsules.all["tool"].enabled);
    EXPECT_EQ(capsules.all["tool"].enabling, before);
    EXPECT_THAT(saved.back(), HasSubstr("tool run-once 0 every 90000000")) << "as its timer is";
}

TEST_F(SchedulesTest, WhatCannotRunByItselfIsNotEnabled) {
    capsules.add("plain");
    EXPECT_THAT(enable("plain"), HasSubstr("has no [schedule]"));
    EXPECT_THAT(enable("unknown", 0, ""), HasSubstr("no capsule 'unknown'"));
    EXPECT_THAT(enable("tool", kUser, "image=another"), HasSubstr("changed after the authorisation"));
    periodic("wrong").calendar = "the 30th of February";
    EXPECT_THAT(enable("wrong"), HasSubstr("systemd takes no calendar 'the 30th of February'"));
    periodic("past").calendar = "2000-01-01";
    EXPECT_THAT(enable("past"), HasSubstr("no time that is still to come"));
    EXPECT_THAT(saved, IsEmpty());
}

TEST_F(SchedulesTest, ACalendarIsCheckedBeforeItsCapsuleIsInstalled) {
    const auto check = [&](const CapsuleInfo& info) {
        std::string said;
        schedules->check(info, [&](const Result<void>& checked) { said = checked ? "ok" : checked.error().message; });
        while (said.empty()) sd_event_run(loop.get(), UINT64_MAX);
        return said;
    };
    EXPECT_EQ(check(capsules.all["tool"]), "ok");
    periodic("daily").calendar = "daily";
    EXPECT_EQ(check(capsules.all["daily"]), "ok");
    periodic("wrong").calendar = "dayly";
    EXPECT_THAT(check(capsules.all["wrong"]), HasSubstr("'dayly'"));
}

TEST_F(SchedulesTest, ATurnIsABatchOfWhoEnabledIt) {
    capsules.all["tool"].selection.parallel = 3;
    EXPECT_EQ(enable("tool", kUser), "ok");
    EXPECT_EQ(schedules->run("tool").value(), "batch-1");
    const BatchRequest& request = batches.started.at(0);
    EXPECT_EQ(request.run.capsule, "tool");
    EXPECT_EQ(request.run.caller.uid, kUser);
    EXPECT_EQ(request.run.trigger, Trigger::Periodic);
    EXPECT_EQ(request.selection.parallel, 3u);
    EXPECT_NE(capsules.all["tool"].enabling.last, 0u);
    const auto granted = allowed(ofTheHosts(0)).value();
    ASSERT_TRUE(granted);
    EXPECT_EQ(granted->backend, "docker");
    EXPECT_EQ(granted->digest, images.image.digest);
    EXPECT_EQ(granted->revision, 7u);
    EXPECT_EQ(granted->startTime, 42u);
    EXPECT_EQ(granted->hostNamespaces, 0u);
    EXPECT_EQ(enable("tool", 0), "ok");
    EXPECT_TRUE(schedules->run("tool"));
    EXPECT_FALSE(batches.started.back().targets) << "nobody has to be asked about root";
}

TEST_F(SchedulesTest, WhatWasNotEnabledHasNoTurns) {
    EXPECT_THAT(refusal("tool"), HasSubstr("is not enabled"));
    EXPECT_THAT(refusal("unknown"), HasSubstr("no capsule 'unknown'"));
    capsules.add("eventful").schedule.events = {event("target-start"), event("oom"), event("pressure"), event("file-changed")};
    EXPECT_EQ(enable("eventful"), "ok");
    capsules.add("eventful").schedule.events = {event("dbus-signal")};
    EXPECT_EQ(enable("eventful"), "ok");
    EXPECT_THAT(refusal("eventful"), HasSubstr("no [schedule.periodic]"));
    EXPECT_THAT(batches.started, IsEmpty());
}

TEST_F(SchedulesTest, WhereAnEventIsNotHeardOfIsInItsRow) {
    ScheduleParts parts{loop.get(), capsules, images, targets, batches, runs, {}, "machine"};
    parts.unheard = [](const std::string& capsule, std::size_t index) { return index == 1 ? capsule + ": no pressure here" : ""; };
    schedules = Schedules::create(parts).value();
    capsules.add("eventful").schedule.events = {event("oom"), event("pressure")};
    capsules.all["eventful"].image = "recap/eventful:1";
    EXPECT_EQ(rows().at(1).unheard, "") << "nobody has enabled it";
    EXPECT_EQ(enable("eventful"), "ok");
    EXPECT_EQ(rows().at(0).unheard, "");
    EXPECT_EQ(rows().at(1).unheard, "eventful: no pressure here");
    EXPECT_EQ(rows().at(1).problem, "");
}

TEST_F(SchedulesTest, WhatCannotBeWaitedForIsNotEnabled) {
    int told = 0;
    waitingFor = [&]() -> Result<void> {
        ++told;
        if (!capsules.all["eventful"].enabled) return {};
        return fail(Errc::LimitExceeded, "no more match rules");
    };
    open(true);
    schedules->begin();
    capsules.add("eventful").schedule.events = {event("dbus-signal")};
    capsules.all["eventful"].image = "recap/eventful:1";
    told = 0;
    EXPECT_THAT(enable("eventful"), HasSubstr("no more match rules"));
    EXPECT_FALSE(capsules.all["eventful"].enabled);
    EXPECT_EQ(told, 2) << "and once more, that it is not waited for";
    EXPECT_EQ(enable("tool"), "ok");
    EXPECT_THAT(saved.back(), HasSubstr("tool")) << "timers do not wait for events";
}

TEST_F(SchedulesTest, ACapsuleThatAsksForMoreThanWhenItWasEnabledIsNotRun) {
    EXPECT_EQ(enable("tool", kUser), "ok");
    EXPECT_TRUE(schedules->run("tool"));
    capsules.all["tool"].capabilities = {"CAP_NET_ADMIN"};
    schedules->refresh();
    EXPECT_EQ(saved.back(), "recap-schedule 1\n");
    EXPECT_THAT(refusal("tool"), HasSubstr("enable it again"));
    EXPECT_THAT(rows().at(0).problem, HasSubstr("when user 1000 enabled it"));
    EXPECT_EQ(enable("tool", kUser), "ok");
    EXPECT_EQ(refusal("tool"), "none");
}

TEST_F(SchedulesTest, AChainThatFilesHaveMadeALoopIsNotRun) {
    EventSchedule after = event("run-finished");
    after.capsule = "first";
    capsules.all["tool"].schedule.events = {after};
    periodic("first").every = 90s;
    EXPECT_EQ(enable("first", kUser), "ok");
    EXPECT_EQ(enable("tool", kUser), "ok");
    after.capsule = "tool";
    capsules.all["first"].schedule.events = {after};  // a file in /etc, and a reload
    schedules->refresh();
    EXPECT_EQ(saved.back(), "recap-schedule 1\n");
    for (const char* name : {"tool", "first"}) EXPECT_FALSE(sound(capsules.all[name], capsules)) << name;
    EXPECT_THAT(refusal("tool"), HasSubstr("it would start itself for ever"));
    const auto all = rows();
    ASSERT_THAT(all, SizeIs(4));
    EXPECT_THAT(all[0].problem, HasSubstr("first -> tool -> first"));
    EXPECT_THAT(all[3].problem, HasSubstr("tool -> first -> tool"));
    capsules.all["first"].schedule.events.clear();
    schedules->refresh();
    EXPECT_THAT(saved.back(), HasSubstr("tool run-once")) << "enabled all the time";
}

TEST_F(SchedulesTest, ATurnThatStartsNothingHasARow) {
    EXPECT_NE(refusal("tool"), "none");
    EXPECT_THAT(runs.skipped, IsEmpty()) << "it is not enabled, and has no turns";
    ASSERT_EQ(enable("tool", kUser), "ok");
    batches.full = true;
    EXPECT_EQ(refusal("tool"), "too many");
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_EQ(runs.skipped[0].second, "too many");
    const RunRequest& row = runs.runs.at(runs.skipped[0].first).request;
    EXPECT_EQ(row.capsule, "tool");
    EXPECT_EQ(row.target, "");
    EXPECT_EQ(row.caller.uid, kUser);
    EXPECT_EQ(row.trigger, Trigger::Periodic);
    EXPECT_EQ(capsules.all["tool"].enabling.last, 0u);
    batches.full = false;
    capsules.all["tool"].enabling.asks = "something else";
    EXPECT_THAT(refusal("tool"), HasSubstr("enable it again"));
    EXPECT_THAT(runs.skipped, SizeIs(2));
}

TEST_F(SchedulesTest, TurnsThatNothingMakesUpForAreOneRowOnce) {
    CapsuleInfo& tool = capsules.all["tool"];
    tool.schedule.missed = Missed::Skip;
    ASSERT_EQ(enable("tool"), "ok");
    const std::uint64_t now = microseconds(CLOCK_REALTIME), boot = now - microseconds(CLOCK_BOOTTIME), turn = 90'000'000;
    tool.enabling.since = 1;
    tool.enabling.last = now - 10 * turn - 1'000'000;
    open(false);
    schedules->begin();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_EQ(runs.skipped[0].second, "10 turns were due while recapd was away, and schedule.missed says skip");
    open(false);
    schedules->begin();
    EXPECT_THAT(runs.skipped, SizeIs(1)) << "by the next recapd no more";
    tool.enabling.last = boot - 2 * turn - 1'000'000;
    open(true);
    schedules->begin();
    ASSERT_THAT(runs.skipped, SizeIs(2));
    EXPECT_EQ(runs.skipped[1].second, "2 turns were due while this machine was off, and schedule.missed says skip");
    tool.enabling.last = boot + 1;
    open(true);
    schedules->begin();
    tool.schedule.missed = Missed::RunOnce;
    tool.enabling.last = now - 10 * turn;
    open(false);
    schedules->begin();
    EXPECT_THAT(runs.skipped, SizeIs(2));
}

TEST_F(SchedulesTest, TheHostsNamespacesTakeTheGreaterRight) {
    constexpr std::uint32_t kNet = 2;
    capsules.all["tool"].namespaces = {"net"};
    EXPECT_EQ(enable("tool", kUser), "ok");
    EXPECT_TRUE(schedules->run("tool"));
    const auto refused = allowed(ofTheHosts(kNet));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::AccessDenied);
    capsules.all["tool"].capabilities = {"CAP_NET_RAW"};
    EXPECT_EQ(enable("tool", kUser), "ok");
    EXPECT_EQ(allowed(ofTheHosts(kNet)).value()->hostNamespaces, kNet);
}

TEST_F(SchedulesTest, TheListSaysWhenByWhomAndOnHowMany) {
    auto& often = capsules.all["tool"];
    often.selection.labels = parseLabels("n in (0,1)").value();
    periodic("quarterly").calendar = "*:0/15";
    capsules.add("eventful").schedule.events = {event("oom"), event("target-start")};
    EXPECT_EQ(enable("tool", kUser), "ok");
    EXPECT_TRUE(schedules->run("tool"));
    const auto all = rows();
    ASSERT_THAT(all, SizeIs(4));
    EXPECT_EQ(all[0].event->on, "oom");
    EXPECT_EQ(all[1].event->on, "target-start");
    EXPECT_FALSE(all[1].periodic);
    EXPECT_EQ(all[2].capsule, "quarterly");
    EXPECT_THAT(all[2].next, SizeIs(5)) << "enabled or not";
    EXPECT_FALSE(all[2].enabled);
    EXPECT_EQ(all[2].targets, 3u);
    EXPECT_EQ(all[3].capsule, "tool");
    EXPECT_EQ(all[3].enabler, kUser);
    EXPECT_EQ(all[3].targets, 2u);
    EXPECT_EQ(all[3].last, often.enabling.last);
    EXPECT_THAT(all[3].next, ElementsAre(often.enabling.last + 90'000'000));
}

TEST_F(SchedulesTest, WithoutSystemdTheLoopKeepsPeriodsAndNoCalendar) {
    open(false);
    schedules->begin();
    periodic("daily").calendar = "daily";
    EXPECT_THAT(enable("daily"), AllOf(HasSubstr("no systemd"), HasSubstr("schedule.periodic.every")));
    EXPECT_EQ(enable("tool"), "ok");
    capsules.all["tool"].enabling.since -= 3600'000'000;
    open(false);
    schedules->begin();
    sd_event_run(loop.get(), UINT64_MAX);
    EXPECT_THAT(batches.started, SizeIs(1)) << "one turn for all that were missed";
    EXPECT_GT(rows().at(1).next.at(0), microseconds(CLOCK_REALTIME) + 80'000'000);
    EXPECT_THAT(saved, IsEmpty());
}

}  // namespace
}  // namespace recap::test
