// SPDX-License-Identifier: Apache-2.0
// The schedule file: what recapd writes is read, and nothing else.
#include "daemon/helpers/schedule_lines.hpp"

#include <gmock/gmock.h>

#include "daemon/triggers/schedules.hpp"

namespace recap::helpers {
namespace {

using std::chrono::microseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kHead = "recap-schedule 1\n";

ScheduleFile read(const std::string& lines) { return readSchedule(kHead + lines).value(); }

TEST(ScheduleLines, WhatRecapdWritesIsRead) {
    const auto file = read(lineText({"clock-check", {"", microseconds(90'000'000), microseconds(5)}, Missed::Skip}) +
                           lineText({"logrotate", {"Mon..Fri *-*-* 06:30:00 Europe/Berlin", {}, {}}, Missed::RunOnce}));
    EXPECT_THAT(file.problems, IsEmpty());
    EXPECT_THAT(file.entries, ElementsAre(ScheduleEntry{"clock-check", "", 90'000'000, 5, false, 2},
                                          ScheduleEntry{"logrotate", "Mon..Fri *-*-* 06:30:00 Europe/Berlin", 0, 0, true, 3}));
    EXPECT_THAT(read("").entries, IsEmpty());
}

TEST(ScheduleLines, AWrongLineIsNamedAndHarmsNoOther) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "is not a name"},
        {"../evil run-once 0 every 1000000", "is not a name"},
        {"A run-once 0 every 1000000", "is not a name"},
        {"a@b run-once 0 every 1000000", "is not a name"},
        {"bad sometimes 0 every 1000000", "'sometimes'"},
        {"bad run-once -1 every 1000000", "'-1'"},
        {"bad run-once 00 every 1000000", "'00'"},
        {"bad run-once 0 every 999999", "'999999'"},
        {"bad run-once 0 every 31622400000001", "'31622400000001'"},
        {"bad run-once 0 every 1000000 ", "'1000000 '"},
        {"bad run-once 0 every 99999999999999999999", "no number"},
        {"bad run-once 0 weekly *", "'weekly'"},
        {"bad run-once 0 calendar", "no calendar"},
        {"bad run-once 0 calendar %h", "no calendar"},
        {"bad run-once 0 calendar daily\r", "no calendar"},
        {"bad run-once 0 calendar daily\\", "no calendar"},
        {"bad run-once 0 calendar a\tb", "no calendar"},
        {"bad run-once 0 calendar  daily", "no calendar"},
        {"good skip 0 every 2000000", "stands above"},
    };
    for (const auto& [line, why] : cases) {
        const auto file = read("good run-once 0 every 1000000\n" + std::string(line) + "\nlast skip 0 calendar daily\n");
        ASSERT_THAT(file.problems, SizeIs(1)) << line;
        EXPECT_THAT(file.problems[0], HasSubstr("line 3: ")) << line;
        EXPECT_THAT(file.problems[0], HasSubstr(why)) << line;
        EXPECT_THAT(file.entries, SizeIs(2)) << line;
    }
    EXPECT_THAT(read(std::string("nul run-once 0 calendar da\0ily\n", 31)).problems, SizeIs(1));
    EXPECT_THAT(read("long run-once 0 calendar " + std::string(201, 'x')).problems, SizeIs(1));
}

TEST(ScheduleLines, AnotherFileIsNoSchedule) {
    for (const auto& text : {std::string(), std::string("recap-schedule 2\n"), std::string("a run-once 0 every 1000000\n"),
                             kHead + std::string(kMostScheduleBytes, 'x')})
        EXPECT_FALSE(readSchedule(text)) << text.substr(0, 40);
}

TEST(ScheduleLines, ManyAreBounded) {
    std::string many;
    for (std::size_t i = 0; i < kMostEntries + 300; ++i) many += "c" + std::to_string(i) + " skip 0 every 1000000\n";
    const auto file = read(many);
    EXPECT_THAT(file.entries, SizeIs(kMostEntries));
    EXPECT_THAT(file.problems, SizeIs(100)) << "and so is what is said of them";
}

TEST(ScheduleLines, DropInsSayWhatTheyWereMadeOf) {
    const ScheduleEntry daily{"a", "*:0/15", 0, 30'000'000, true, 2};
    EXPECT_EQ(dropInOf(daily, 7),
              "# recap-schedule made this of: a run-once 30000000 calendar *:0/15\n[Timer]\nOnCalendar=*:0/15\n"
              "Persistent=yes\nRandomizedDelaySec=30000000us\n");
    const ScheduleEntry often{"b", "", 2'000'000, 7, false, 3};
    EXPECT_EQ(dropInOf(often, 500),
              "# recap-schedule made this of: b skip 7 every 2000000\n[Timer]\nOnActiveSec=500us\nOnUnitActiveSec=2000000us\n")
        << "a random delay would be added to each interval";
    for (const auto& entry : {daily, often}) EXPECT_EQ(lineIn(dropInOf(entry, 1)), lineOf(entry));
    EXPECT_EQ(lineIn("[Timer]\nOnCalendar=daily\n"), "");
}

TEST(ScheduleLines, AfterABootAMissedTurnIsDueAtOnceOrAtItsNextTime) {
    ScheduleEntry entry{"a", "", 10'000'000, 0, true, 2};
    EXPECT_EQ(firstWaitUsec(entry, {}, 100'000'000), 10'000'000u) << "never before";
    EXPECT_EQ(firstWaitUsec(entry, {1, 96'000'000}, 100'000'000), 6'000'000u) << "none was missed";
    EXPECT_EQ(firstWaitUsec(entry, {1, 57'000'000}, 100'000'000), 0u);
    EXPECT_EQ(firstWaitUsec(entry, {1, 200'000'000}, 100'000'000), 10'000'000u) << "a clock that was set back";
    entry.catchUp = false;
    EXPECT_EQ(firstWaitUsec(entry, {1, 57'000'000}, 100'000'000), 7'000'000u);
    entry.everyUsec = 0;
    entry.calendar = "daily";
    for (const bool catchUp : {false, true}) {
        entry.catchUp = catchUp;
        EXPECT_EQ(firstWaitUsec(entry, {1, 57'000'000}, 100'000'000), 0u) << "systemd has it";
    }
}

TEST(ScheduleLines, APeriodsDelayIsAddedOnce) {
    ScheduleEntry entry{"a", "", 10'000'000, 3'000'000, true, 2};
    EXPECT_EQ(firstWaitUsec(entry, {96'000'000, 96'000'000}, 100'000'000), 9'000'000u) << "to the first turn";
    EXPECT_EQ(firstWaitUsec(entry, {1, 96'000'000}, 100'000'000), 6'000'000u) << "and so the later ones have it";
    EXPECT_EQ(firstWaitUsec(entry, {88'000'000, 88'000'000}, 100'000'000), 1'000'000u) << "the first was not missed";
    EXPECT_EQ(firstWaitUsec(entry, {1, 57'000'000}, 100'000'000), 3'000'000u) << "hosts that boot at one time do not run it at one time";
    entry.catchUp = false;
    EXPECT_EQ(firstWaitUsec(entry, {1, 57'000'000}, 100'000'000), 7'000'000u);
    EXPECT_EQ(firstWaitUsec(entry, {57'000'000, 57'000'000}, 100'000'000), 10'000'000u) << "in step with the first one, of 70";
    EXPECT_EQ(sinceIn("uid 0\nsince 57\nasks image=x since 3\n"), 57u);
    for (const char* text : {"", "uid 0\n", "since -1\n", "since 1x\n", "asks since 3\n"}) EXPECT_EQ(sinceIn(text), 0u) << text;
}

}  // namespace
}  // namespace recap::helpers
