// SPDX-License-Identifier: Apache-2.0
#include "daemon/triggers/watch_reader.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "daemon/core/escaped.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/daemon/triggers/watched_files.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;

OpenedWatch opened(WatchForm form, UniqueFd fd) {
    OpenedWatch watch;
    watch.form = form;
    watch.fd = std::move(fd);
    return watch;
}

std::array<UniqueFd, 2> newPipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

TEST(WatchReader, OfMemoryEventsOnlyKillsCountAndByHowMany) {
    const TempDir folder;
    const fs::path file = folder.path() / "memory.events";
    const auto write = [&](const std::string& kills, const std::string& oom) {
        std::ofstream(file) << "low 0\nhigh 7\nmax 91\noom " << oom << "\noom_kill " << kills << "\noom_group_kill 1\n";
    };
    write("3", "5");
    WatchReader reader(opened(WatchForm::Counters, UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC))));
    EXPECT_EQ(reader.waitsFor(), static_cast<std::uint32_t>(EPOLLPRI));
    EXPECT_EQ(reader.begin(), 3u);
    EXPECT_EQ(reader.read(EPOLLPRI | EPOLLERR).count, 0u);
    write("3", "6");
    EXPECT_EQ(reader.read(EPOLLPRI | EPOLLERR).count, 0u) << "another number";
    write("12", "9");
    const Heard heard = reader.read(EPOLLPRI | EPOLLERR);
    EXPECT_EQ(heard.count, 9u);
    EXPECT_EQ(heard.total, 12u);
    EXPECT_FALSE(heard.gone) << "EPOLLERR is not the end here";
    EXPECT_EQ(reader.read(0).count, 0u) << "once";
}

TEST(WatchReader, MemoryEventsThatCannotBeReadAreGone) {
    const auto pipe = newPipe();
    WatchReader reader(opened(WatchForm::Counters, UniqueFd(::dup(pipe[0].get()))));
    EXPECT_EQ(reader.begin(), 0u);
    EXPECT_TRUE(reader.read(0).gone);
    EXPECT_EQ(reader.read(0).count, 0u);
}

TEST(WatchReader, ACounterTellsHowOften) {
    UniqueFd counter(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const int fd = counter.get();
    WatchReader reader(opened(WatchForm::Counter, std::move(counter)));
    EXPECT_EQ(reader.waitsFor(), static_cast<std::uint32_t>(EPOLLIN));
    EXPECT_EQ(reader.read(0).count, 0u);
    for (int i = 0; i < 3; ++i) ASSERT_EQ(::eventfd_write(fd, 1), 0);
    EXPECT_EQ(reader.read(EPOLLIN).count, 3u);
    EXPECT_EQ(reader.read(EPOLLIN).count, 0u);
}

TEST(WatchReader, ATriggerIsPulledOrGone) {
    auto pipe = newPipe();
    WatchReader reader(opened(WatchForm::Trigger, std::move(pipe[0])));
    EXPECT_EQ(reader.waitsFor(), static_cast<std::uint32_t>(EPOLLPRI));
    EXPECT_EQ(reader.read(EPOLLPRI).count, 1u);
    EXPECT_EQ(reader.read(0).count, 0u);
    EXPECT_FALSE(reader.read(0).gone);
    const Heard gone = reader.read(EPOLLPRI | EPOLLERR);
    EXPECT_TRUE(gone.gone);
    EXPECT_EQ(gone.count, 0u) << "kernfs says both of a file that is no more";
    pipe[1].reset();
    EXPECT_TRUE(reader.read(0).gone) << "by a look of its own";
}

TEST(WatchReader, AFilesChangesAndWhetherItsNameStillLeadsToIt) {
    const TempDir folder;
    const fs::path file = folder.path() / "app.conf";
    writeFile(file, "old\n");
    WatchReader reader(opened(WatchForm::Changes, watchOf(file)));
    EXPECT_EQ(reader.read(0).count, 0u);
    std::ofstream(file, std::ios::app) << "new\n";
    Heard heard = reader.read(EPOLLIN);
    EXPECT_EQ(heard.count, 2u) << "written, and closed";
    EXPECT_EQ(changeWords(heard.what), "modified");
    EXPECT_FALSE(heard.moved || heard.gone || heard.more);
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    heard = reader.read(EPOLLIN);
    EXPECT_EQ(changeWords(heard.what), "attributes");
    EXPECT_TRUE(heard.moved) << "its link count may be what has changed";
    EXPECT_FALSE(heard.gone);
    fs::rename(file, folder.path() / "app.conf.1");
    heard = reader.read(EPOLLIN);
    EXPECT_TRUE(heard.moved);
    fs::remove(folder.path() / "app.conf.1");
    heard = reader.read(EPOLLIN);
    EXPECT_TRUE(heard.gone);
    EXPECT_EQ(changeWords(heard.what), "deleted");
}

TEST(WatchReader, AFolderTellsWhatIsInItAndStaysWhatItIs) {
    const TempDir folder;
    WatchReader reader(opened(WatchForm::Changes, watchOf(folder.path())));
    writeFile(folder.path() / "first", "");
    writeFile(folder.path() / "second", "");
    fs::remove(folder.path() / "second");
    Heard heard = reader.read(EPOLLIN);
    EXPECT_EQ(heard.entry, "first");
    EXPECT_EQ(changeWords(heard.what), "modified,created,deleted");
    EXPECT_FALSE(heard.moved || heard.gone) << "what is deleted is one in it";
    fs::permissions(folder.path(), fs::perms::owner_all | fs::perms::group_read);
    EXPECT_FALSE(reader.read(EPOLLIN).moved) << "a folder has no further names";
}

TEST(WatchReader, AStormIsReadByPieces) {
    const TempDir folder;
    const fs::path file = folder.path() / "log";
    writeFile(file, "");
    WatchReader reader(opened(WatchForm::Changes, watchOf(file)));
    for (int i = 0; i < 6000; ++i) std::ofstream(file, std::ios::app) << i;
    Heard all = reader.read(EPOLLIN);
    EXPECT_TRUE(all.more);
    EXPECT_LE(all.records, 65536 / sizeof(inotify_event));
    while (all.more) all.add(reader.read(0));
    EXPECT_EQ(all.count, 12'000u);
    EXPECT_EQ(all.records, 12'000u);
}

TEST(WatchReader, NamesAreATargetsOwnAndEscaped) {
    EXPECT_EQ(escaped("app.conf"), "app.conf");
    EXPECT_EQ(escaped("a b\\\n\x7f\xc3\xbc"), "a b\\x5c\\x0a\\x7f\\xc3\\xbc");
}

}  // namespace
}  // namespace recap::test
