// SPDX-License-Identifier: Apache-2.0
// recap-schedule from outside, with somebody who plays systemctl: what it leaves in the units' folder, and what it asks for. Calendars
// are checked by the real systemd-analyze.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
namespace fs = std::filesystem;

class RecapSchedule : public testing::Test {
protected:
    RecapSchedule() {
        for (const char* name : {"state", "units"}) fs::create_directory(top_.path() / name);
        writeFile(top_.path() / "systemctl", "#!/bin/sh\necho \"$@\" >>" + (top_.path() / "asked").string() + "\n");
        fs::permissions(top_.path() / "systemctl", fs::perms::owner_all);
        fs::permissions(top_.path() / "state", fs::perms::owner_all);
    }
    void want(const std::string& lines) {
        writeFile(state() / "schedule", "recap-schedule 1\n" + lines);
        fs::permissions(state() / "schedule", fs::perms::owner_read | fs::perms::owner_write);
        writeFile(state() / "schedule.changed", "");
    }
    CommandResult make(const std::string& owner = "root", const fs::path& analyze = "/usr/bin/systemd-analyze") {
        fs::remove(top_.path() / "asked");
        return run(Command{.argv = {(binDir() / "recap-schedule").string(), "--state", state().string(), "--owner", owner, "--units",
                                    (top_.path() / "units").string(), "--systemctl", (top_.path() / "systemctl").string(),
                                    "--systemd-analyze", analyze.string()}});
    }
    std::vector<std::string> asked() {
        return fs::exists(top_.path() / "asked") ? lines(readFile(top_.path() / "asked")) : std::vector<std::string>();
    }
    fs::path state() const { return top_.path() / "state"; }
    fs::path dropIn(const std::string& name) const {
        return top_.path() / "units" / ("recap-capsule@" + name + ".timer.d/50-recap-schedule.conf");
    }

    TempDir top_;
};

TEST_F(RecapSchedule, MakesTimersKeepsThemAndTakesThemAway) {
    want("often skip 0 every 2000000\nnightly run-once 60000000 calendar *-*-* 03:00:00\n");
    auto made = make();
    ASSERT_TRUE(made.ok()) << made.all();
    EXPECT_THAT(asked(), ElementsAre("daemon-reload", "--no-block restart -- recap-capsule@often.timer recap-capsule@nightly.timer"));
    EXPECT_THAT(readFile(dropIn("nightly")), AllOf(HasSubstr("\nOnCalendar=*-*-* 03:00:00\n"), HasSubstr("\nPersistent=yes\n")));
    EXPECT_THAT(readFile(dropIn("often")), AllOf(HasSubstr("\nOnUnitActiveSec=2000000us\n"), Not(HasSubstr("Persistent"))));
    EXPECT_FALSE(fs::exists(state() / "schedule.changed")) << "so that the path unit waits for the next one";

    ASSERT_TRUE(make().ok());
    EXPECT_THAT(asked(), ElementsAre("--no-block start -- recap-capsule@often.timer recap-capsule@nightly.timer")) << "nothing is new";

    want("often skip 0 every 3000000\n");
    ASSERT_TRUE(make().ok());
    EXPECT_THAT(asked(), ElementsAre("stop -- recap-capsule@nightly.timer", "clean --what=state -- recap-capsule@nightly.timer",
                                     "daemon-reload", "--no-block restart -- recap-capsule@often.timer"));
    EXPECT_FALSE(fs::exists(dropIn("nightly").parent_path()));

    fs::remove(state() / "schedule");
    ASSERT_TRUE(make().ok());
    EXPECT_TRUE(fs::is_empty(top_.path() / "units"));
}

TEST_F(RecapSchedule, AnAdministratorsOwnDropInsStay) {
    want("a skip 0 every 2000000\n");
    ASSERT_TRUE(make().ok());
    writeFile(dropIn("a").parent_path() / "60-mine.conf", "[Timer]\nAccuracySec=1h\n");
    fs::create_directory(top_.path() / "units/recap-capsule@mine.timer.d");
    want("");
    ASSERT_TRUE(make().ok());
    EXPECT_TRUE(fs::exists(dropIn("a").parent_path() / "60-mine.conf"));
    EXPECT_FALSE(fs::exists(dropIn("a")));
    EXPECT_TRUE(fs::exists(top_.path() / "units/recap-capsule@mine.timer.d"));
}

TEST_F(RecapSchedule, ABadLineAndABadCalendarAreSaidAndTheRestStands) {
    want("good skip 0 calendar daily\nwrong skip 0 calendar the 30th of February\n../up skip 0 every 2000000\nfine skip 0 every 2000000\n");
    const auto made = make();
    EXPECT_EQ(made.status, 1);
    EXPECT_THAT(made.err, AllOf(HasSubstr("<4>"), HasSubstr("line 3: systemd takes no calendar 'the 30th of February'"),
                                HasSubstr("line 4: '../up' is not a name")));
    EXPECT_THAT(asked(), ElementsAre("daemon-reload", "--no-block restart -- recap-capsule@good.timer recap-capsule@fine.timer"));
}

TEST_F(RecapSchedule, AWrongCalendarAmongManyIsFoundByHalves) {
    const auto analyze = top_.path() / "analyze";
    writeFile(analyze, "#!/bin/sh\necho x >>" + (top_.path() / "looked").string() + "\ncase \"$*\" in *wrong*) exit 1 ;; esac\n");
    fs::permissions(analyze, fs::perms::owner_all);
    std::string all;
    for (int i = 0; i < 64; ++i)
        all += "c" + std::to_string(i) + " skip 0 calendar " + (i == 12 ? "wrong" : "x" + std::to_string(i)) + "\n";
    want(all);
    const auto made = make("root", analyze);
    EXPECT_THAT(made.err, HasSubstr("line 14: systemd takes no calendar 'wrong'"));
    EXPECT_FALSE(fs::exists(dropIn("c12")));
    EXPECT_TRUE(fs::exists(dropIn("c11")) && fs::exists(dropIn("c63")));
    EXPECT_EQ(lines(readFile(top_.path() / "looked")).size(), 13u) << "of all, and of two halves six times";
}

TEST_F(RecapSchedule, WhereSystemdCannotBeAskedTimersOfCalendarsStayAsTheyAre) {
    const std::string kept = "kept run-once 0 calendar daily\n", period = "period skip 0 every 2000000\n";
    want(kept + "altered run-once 0 calendar weekly\ngone run-once 0 calendar monthly\n" + period);
    ASSERT_TRUE(make().ok());
    const auto altered = readFile(dropIn("altered"));
    const auto unable = [&](const fs::path& analyze) {
        want(kept + "altered run-once 0 calendar hourly\nnew run-once 0 calendar yearly\n" + period);
        const auto made = make("root", analyze);
        EXPECT_EQ(made.status, 1) << analyze;
        EXPECT_THAT(made.err, AllOf(HasSubstr("<3>"), HasSubstr(analyze.string() + " could not be asked about 3 calendars, 'daily' among"),
                                    HasSubstr("timers stay as they are"), Not(HasSubstr("takes no calendar"))));
        EXPECT_TRUE(fs::exists(dropIn("kept")));
        EXPECT_EQ(readFile(dropIn("altered")), altered);
        EXPECT_FALSE(fs::exists(dropIn("new")));
    };
    unable(top_.path() / "not-there");
    EXPECT_THAT(asked(), ElementsAre("stop -- recap-capsule@gone.timer", "clean --what=state -- recap-capsule@gone.timer", "daemon-reload",
                                     "--no-block start -- recap-capsule@kept.timer recap-capsule@period.timer"))
        << "what is wanted no more goes";
    const auto killed = top_.path() / "killed";
    writeFile(killed, "#!/bin/sh\nkill -9 $$\n");
    fs::permissions(killed, fs::perms::owner_all);
    unable(killed);
    EXPECT_THAT(asked(), ElementsAre("--no-block start -- recap-capsule@kept.timer recap-capsule@period.timer"));
    EXPECT_TRUE(make().ok()) << "the next time it can be asked";
    EXPECT_TRUE(fs::exists(dropIn("new")));
}

TEST_F(RecapSchedule, AFileOfSomebodyElsesChangesNothing) {
    want("a skip 0 every 2000000\n");
    ASSERT_TRUE(make().ok());
    const auto refused = [&](const std::string& why, const std::string& owner = "root") {
        if (fs::is_directory(fs::symlink_status(state()))) writeFile(state() / "schedule.changed", "");
        const auto made = make(owner);
        EXPECT_FALSE(fs::is_directory(fs::symlink_status(state())) && fs::exists(state() / "schedule.changed"))
            << why << ": or the path unit starts it again at once, and again";
        EXPECT_EQ(made.status, 1) << why;
        EXPECT_THAT(made.err, AllOf(HasSubstr("<3>"), HasSubstr(why), HasSubstr("timers stay as they are")));
        EXPECT_THAT(asked(), IsEmpty()) << why;
        EXPECT_TRUE(fs::exists(dropIn("a"))) << why;
    };
    refused("belongs to user 0", "nobody");
    refused("no user 'no-such-user'", "no-such-user");
    fs::permissions(state() / "schedule", fs::perms::others_write, fs::perm_options::add);
    refused("others may write it");
    ASSERT_EQ(::chown((state() / "schedule").c_str(), 65534, 65534), 0);
    refused("belongs to user 65534");
    fs::remove(state() / "schedule");
    writeFile(top_.path() / "elsewhere", "recap-schedule 1\n");
    fs::create_symlink(top_.path() / "elsewhere", state() / "schedule");
    refused("Too many levels of symbolic links");
    fs::remove(state() / "schedule");
    ASSERT_EQ(::mkfifo((state() / "schedule").c_str(), 0600), 0);
    refused("not of the right kind");
    fs::remove(state() / "schedule");
    writeFile(state() / "schedule", "[Timer]\n");
    refused("its first line");
    fs::rename(state(), top_.path() / "moved");
    fs::create_symlink(top_.path() / "moved", state());
    refused("Not a directory");
}

TEST_F(RecapSchedule, ATurnThatWasMissedIsDueWhenTheTimerStarts) {
    fs::create_directory(state() / "enabled");
    writeFile(state() / "enabled/late", "");
    fs::last_write_time(state() / "enabled/late", fs::file_time_type::clock::now() - std::chrono::hours(1));
    want("late run-once 0 every 60000000\nnew run-once 9 every 60000000\n");
    ASSERT_TRUE(make().ok());
    EXPECT_THAT(readFile(dropIn("late")), HasSubstr("\nOnActiveSec=0us\n"));
    EXPECT_THAT(readFile(dropIn("new")), AllOf(HasSubstr("\nOnActiveSec=60000009us\n"), Not(HasSubstr("RandomizedDelaySec"))));
}

TEST_F(RecapSchedule, ADelayIsAddedToAPeriodsFirstTurnAlone) {
    const std::string hour = "3600000000";
    fs::create_directory(state() / "enabled");
    const auto tenMinutesAgo = std::time(nullptr) - 600;
    for (const auto& [name, since] : {std::pair{"first", tenMinutesAgo}, {"later", tenMinutesAgo - 3600}}) {
        const auto path = state() / "enabled" / name;
        writeFile(path, "uid 0\nsince " + std::to_string(since) + "000000\nasks x\n");
        const timespec times[] = {{tenMinutesAgo, 0}, {tenMinutesAgo, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    }
    want("first skip " + hour + " every " + hour + "\nlater skip " + hour + " every " + hour + "\n");
    ASSERT_TRUE(make().ok());
    const auto wait = [&](const char* name) {
        const auto text = readFile(dropIn(name));
        return std::stoull(text.substr(text.find("OnActiveSec=") + 12));
    };
    EXPECT_GT(wait("first"), std::stoull(hour)) << "which is 110 minutes after it was enabled ten minutes ago";
    EXPECT_LT(wait("later"), std::stoull(hour));
}

}  // namespace
}  // namespace recap::test
