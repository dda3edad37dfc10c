// SPDX-License-Identifier: Apache-2.0
// Calendars by this machine's own systemd-analyze.
#include "daemon/triggers/calendars.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/daemon/triggers/fakes.hpp"

namespace recap::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kSecond = 1'000'000;

TEST(CalendarTimes, AreReadInTheirOwnZoneAndInUtc) {
    const auto times = readCalendarTimes(
        "Normalized form: *-*-* *:00/15:00\n"
        "    Next elapse: Mon 2026-11-30 10:15:00 UTC\n       From now: 13min left\n"
        "       Iter. #2: Mon 2026-11-30 10:30:00 UTC\n       From now: 28min left\n"
        "\n  Original form: daily\nNormalized form: *-*-* 00:00:00\n"
        "    Next elapse: Tue 2026-12-01 00:00:00 CET\n       (in UTC): Mon 2026-11-30 23:00:00 UTC\n       From now: 12h left\n"
        "\nNormalized form: 2000-01-01 00:00:00\n    Next elapse: never\n",
        3);
    ASSERT_TRUE(times) << times.error().message;
    EXPECT_THAT(*times, ElementsAre(ElementsAre(1796033700 * kSecond, 1796034600 * kSecond), ElementsAre(1796079600 * kSecond), IsEmpty()));
    EXPECT_FALSE(readCalendarTimes("something else\n", 1));
}

struct CalendarsTest : testing::Test {
    EventLoop loop = newLoop();
    Calendars calendars{loop.get(), "/usr/bin/systemd-analyze"};

    static Calendars::Answers ask(const EventLoop& loop, Calendars& calendars, const std::vector<std::string>& asked) {
        std::optional<Calendars::Answers> answers;
        calendars.ask(asked, [&](const Calendars::Answers& given) { answers = given; });
        while (!answers) sd_event_run(loop.get(), UINT64_MAX);
        return *answers;
    }
    Calendars::Answers ask(const std::vector<std::string>& asked) { return ask(loop, calendars, asked); }
};

TEST_F(CalendarsTest, TheNextFiveTimesAndAgainWithoutAsking) {
    const auto times = ask({"*:0/15"}).at("*:0/15").value();
    ASSERT_THAT(times, SizeIs(5));
    const std::uint64_t now = microseconds(CLOCK_REALTIME);
    EXPECT_GT(times[0], now - kSecond);
    EXPECT_LE(times[0], now + 900 * kSecond);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(times[i], times[0] + i * 900 * kSecond);
    bool answered = false;
    calendars.ask({"*:0/15"}, [&](const Calendars::Answers&) { answered = true; });
    EXPECT_TRUE(answered);
}

TEST_F(CalendarsTest, AWrongOneAmongManyIsTheOnlyOne) {
    std::vector<std::string> many{"the 30th of February", "--help", "2000-01-01"};
    for (int minute = 0; minute < 60; ++minute) many.push_back("*:" + std::to_string(minute));
    const auto answers = ask(many);
    EXPECT_THAT(answers, SizeIs(63));
    for (const char* wrong : {"the 30th of February", "--help"}) {
        ASSERT_FALSE(answers.at(wrong)) << wrong;
        EXPECT_EQ(answers.at(wrong).error().code, Errc::InvalidArgument);
        EXPECT_THAT(answers.at(wrong).error().message, HasSubstr(wrong));
    }
    EXPECT_THAT(answers.at("2000-01-01").value(), IsEmpty());
    EXPECT_THAT(answers.at("*:59").value(), SizeIs(5));
}

TEST_F(CalendarsTest, QuestionsWaitForEachOther) {
    int answered = 0;
    for (const char* calendar : {"hourly", "daily", "hourly"})
        calendars.ask({calendar}, [&, calendar](const Calendars::Answers& answers) { answered += answers.at(calendar).has_value(); });
    while (answered < 3) sd_event_run(loop.get(), UINT64_MAX);
    EXPECT_THAT(ask({}), IsEmpty());
}

// Anybody may have the schedule listed, and as often as he likes.
TEST_F(CalendarsTest, WhatIsBeingAskedIsNotAskedOnceMore) {
    char folder[] = "/tmp/recap-calendars-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    const std::string program = std::string(folder) + "/analyze", log = std::string(folder) + "/log";
    std::ofstream(program) << "#!/bin/sh\necho asked >>" << log << "\nexec /usr/bin/systemd-analyze \"$@\"\n";
    ASSERT_EQ(::chmod(program.c_str(), 0700), 0);
    Calendars counted(loop.get(), program);
    int answered = 0;
    for (int i = 0; i < 100; ++i)
        counted.ask({"hourly", "daily", "hourly"}, [&](const Calendars::Answers& answers) {
            answered += answers.size() == 2 && answers.at("hourly").has_value() && answers.at("daily").has_value();
        });
    while (answered < 100) sd_event_run(loop.get(), UINT64_MAX);
    std::ifstream lines(log);
    std::string line;
    int asked = 0;
    while (std::getline(lines, line)) ++asked;
    EXPECT_EQ(asked, 1);
    std::filesystem::remove_all(folder);
}

TEST_F(CalendarsTest, AProgramThatIsNotThereIsSaid) {
    Calendars none(loop.get(), "/nonexistent/systemd-analyze");
    const auto answers = ask(loop, none, {"daily", "hourly"});
    EXPECT_EQ(answers.at("daily").error().code, Errc::Unavailable);
    EXPECT_THAT(answers.at("hourly").error().message, HasSubstr("/nonexistent/systemd-analyze"));
}

}  // namespace
}  // namespace recap::test
