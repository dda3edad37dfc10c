// SPDX-License-Identifier: Apache-2.0
// What watches make of a file that changes, goes, comes back, or never rests.
#include <sys/ioctl.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/daemon/triggers/watches_fixture.hpp"

namespace recap::test {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

namespace fs = std::filesystem;

struct WatchesFilesTest : WatchesTest {
    TempDir folder;
    fs::path file = folder.path() / "app.conf";

    void SetUp() override { writeFile(file, "old\n"); }
    // What is to be read there; it goes with its reader.
    int openFile(std::chrono::microseconds cooldown = {}) {
        armed("reload", {.on = "file-changed", .path = "/etc/app.conf", .cooldown = cooldown});
        open();
        UniqueFd changes = watchOf(file);
        const int fd = changes.get();
        opener.answer(WatchForm::Changes, std::move(changes));
        return fd;
    }
    static int unread(int changes) {
        int bytes = -1;
        ::ioctl(changes, FIONREAD, &bytes);
        return bytes;
    }
    void append() const { std::ofstream(file, std::ios::app) << "new\n"; }
    void replace() const {
        writeFile(folder.path() / "next", "next\n");
        fs::rename(folder.path() / "next", file);
    }
    // What comes with it has come, too.
    void settle() {
        hear();
        pass(100ms);
    }
};

TEST_F(WatchesFilesTest, AFileThatIsWrittenIsOneEvent) {
    openFile();
    append();
    hear();
    EXPECT_THAT(shots, IsEmpty()) << "who writes may not have ended";
    append();
    settle();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].occurrence.on, "file-changed");
    EXPECT_EQ(shots[0].fact("path"), "/etc/app.conf");
    EXPECT_EQ(shots[0].fact("what"), "modified");
    EXPECT_EQ(shots[0].fact("changes"), "4");
    EXPECT_EQ(shots[0].fact("entry"), "none");
    append();
    pass(250ms);
    settle();
    EXPECT_THAT(shots, SizeIs(2));
    EXPECT_THAT(opener.unwatched, IsEmpty());
}

TEST_F(WatchesFilesTest, AFolderSaysWhatHasChangedInIt) {
    armed("reload", {.on = "file-changed", .path = "/etc/conf.d"}).view = "read-only";
    open();
    opener.answerFile(folder.path());
    writeFile(folder.path() / "fre\nsh", "");
    settle();
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("entry"), "fre\\x0ash");
    EXPECT_THAT(shots[0].fact("what"), HasSubstr("created"));
}

// The launcher could.
TEST_F(WatchesFilesTest, WhatTheCapsuleCouldNotReadThereItIsNotToldEither) {
    armed("blind", {.on = "file-changed", .path = "/etc/conf.d"});
    CapsuleInfo& users = armed("users", {.on = "file-changed", .path = "/etc/conf.d"});
    users.view = "read-only";
    users.enabling.uid = 1000;
    open();
    opener.answerFile(folder.path());
    opener.answerFile(folder.path());
    writeFile(folder.path() / "secret", "");
    settle();
    ASSERT_THAT(shots, SizeIs(2));
    for (const auto& shot : shots) {
        EXPECT_EQ(shot.fact("entry"), "none") << shot.capsule;
        EXPECT_THAT(shot.fact("what"), HasSubstr("created")) << shot.capsule;
    }
}

TEST_F(WatchesFilesTest, AFileThatIsReplacedIsAskedForAnewBeforeItIsToldOf) {
    openFile();
    replace();
    settle();
    EXPECT_THAT(shots, IsEmpty()) << "what happens until it is watched again would be lost";
    ASSERT_THAT(opener.asked, SizeIs(1));
    EXPECT_THAT(opener.unwatched, SizeIs(1));
    opener.answerFile(file);
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("what"), "created,deleted");
    append();
    pass(250ms);
    settle();
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[1].fact("what"), "modified");
}

TEST_F(WatchesFilesTest, AChangeThatCameToNothingAsTheTargetEndedIsTold) {
    openFile();
    append();
    hear();
    processes[0].end();
    hear();
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("the target has ended"));
    EXPECT_EQ(runs.runs.at(runs.skipped[0].first).request.occurrence->facts.at("what"), "modified");
}

TEST_F(WatchesFilesTest, SoIsOneThatWaitedForTheFileToBeFound) {
    openFile();
    replace();
    settle();
    ASSERT_THAT(opener.asked, SizeIs(1));
    processes[0].end();
    hear();
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("the target has ended"));
}

TEST_F(WatchesFilesTest, AChangeThatHasNotSettledIsToldWhenRecapdEnds) {
    openFile();
    append();
    hear();
    watches->tellAll();
    EXPECT_THAT(shots, IsEmpty());
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("recapd ended"));
}

TEST_F(WatchesFilesTest, SoIsOneThatSomebodyHoldsOpenStill) {
    openFile();
    const std::ifstream reader(file);
    replace();
    settle();
    ASSERT_THAT(opener.asked, SizeIs(1)) << "only its link count has changed";
    opener.answerFile(file);
    append();
    pass(250ms);
    settle();
    EXPECT_THAT(shots, SizeIs(2));
}

TEST_F(WatchesFilesTest, AFileThatIsDeletedMayComeBack) {
    openFile();
    fs::remove(file);
    settle();
    opener.refuse(Errc::NotFound, "file: /etc/app.conf of target docker:c0: there is none");
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("what"), "deleted");
    EXPECT_THAT(problem("reload"), HasSubstr("there is none"));
    std::size_t asked = 0;
    for (int i = 0; i < 600; ++i) {
        pass(1s);
        if (opener.asked.empty()) continue;
        ++asked;
        opener.refuse(Errc::NotFound, "there is none");
    }
    EXPECT_GE(asked, 10u);
    EXPECT_LE(asked, 16u);
    EXPECT_THAT(shots, SizeIs(1));
    writeFile(file, "again\n");
    pass(60s);
    opener.answerFile(file);
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[1].fact("what"), "created");
    EXPECT_EQ(problem("reload"), "");
}

TEST_F(WatchesFilesTest, OneThatIsNotThereYetIsNoProblemWhereAnotherTargetHasIt) {
    armed("reload", {.on = "file-changed", .path = "/etc/app.conf"});
    open(2);
    opener.refuse(Errc::NotFound, "there is none");
    EXPECT_EQ(problem("reload"), "");
    opener.refuse(Errc::NotFound, "there is none");
    EXPECT_EQ(problem("reload"), "there is none; and likewise on 1 more");
    pass(1s);
    opener.answerFile(file);
    EXPECT_EQ(problem("reload"), "");
    ASSERT_THAT(shots, SizeIs(1));
    EXPECT_EQ(shots[0].fact("what"), "created");
}

TEST_F(WatchesFilesTest, WhatMayHaveChangedWhileNobodyWatchedIsToldOf) {
    openFile();
    replace();
    settle();
    opener.refuse(Errc::Unavailable, "recap-launcher is away");
    ASSERT_THAT(shots, SizeIs(1)) << "what was seen is";
    pass(1s);
    opener.answerFile(file);
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[1].fact("what"), "none");
    EXPECT_EQ(shots[1].fact("changes"), "1");
}

TEST_F(WatchesFilesTest, AStormInACooldownIsReadNowAndThenAndToldAfterIt) {
    const int changes = openFile(60s);
    append();
    settle();
    ASSERT_THAT(shots, SizeIs(1));
    pass(10s);
    EXPECT_EQ(sd_event_run(loop.get(), 0), 0) << "where nothing comes nobody is woken";
    for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 2'500; ++j) append();
        EXPECT_GT(unread(changes), 0);
        settle();
        EXPECT_EQ(unread(changes), 0) << "the kernel keeps none of them";
        pass(1s);
    }
    EXPECT_THAT(runs.skipped, IsEmpty());
    pass(60s);
    pass(1s);
    EXPECT_THAT(shots, SizeIs(1));
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("20000 more came within the cooldown"));
}

TEST_F(WatchesFilesTest, WhatComesAfterACooldownIsNoneOfIt) {
    openFile(60s);
    append();
    settle();
    pass(60s - 50ms);
    append();
    hear();
    pass(50ms);
    append();
    pass(250ms);
    settle();
    ASSERT_THAT(shots, SizeIs(2));
    EXPECT_EQ(shots[1].fact("changes"), "2");
    pass(1s);
    ASSERT_THAT(runs.skipped, SizeIs(1));
    EXPECT_THAT(runs.skipped[0].second, HasSubstr("2 more came within the cooldown"));
}

TEST_F(WatchesFilesTest, WithoutACooldownAStormIsLookedAtTheLessTheMoreOfIt) {
    openFile();
    for (int i = 0; i < 100; ++i) {  // ten seconds
        for (int j = 0; j < 200; ++j) append();
        settle();
    }
    EXPECT_GE(shots.size(), 10u);
    EXPECT_LE(shots.size(), 30u);
    std::size_t changes = 0;
    for (const auto& shot : shots) changes += std::stoul(shot.fact("changes"));
    EXPECT_GE(changes, 30'000u) << "none is lost, but those that come last";
}

TEST_F(WatchesFilesTest, AFileThatIsReplacedAllTheTimeIsAskedForNowAndThen) {
    openFile();
    for (int i = 0; i < 600; ++i) {  // a minute
        replace();
        settle();
        if (!opener.asked.empty()) opener.answerFile(file);
    }
    EXPECT_GE(opener.questions, 10u);
    EXPECT_LE(opener.questions, 25u);
    EXPECT_GE(shots.size() + 2, opener.questions);
}

TEST_F(WatchesFilesTest, AFileThatIsReplacedInACooldownIsWatchedAfterIt) {
    openFile(60s);
    append();
    settle();
    replace();
    pass(60s);
    ASSERT_THAT(opener.asked, SizeIs(1));
    opener.answerFile(file);
    EXPECT_THAT(shots, SizeIs(1)) << "that was in the cooldown";
    pass(1s);
    EXPECT_THAT(runs.skipped, SizeIs(1));
    append();
    settle();
    EXPECT_THAT(shots, SizeIs(2));
}

}  // namespace
}  // namespace recap::test
