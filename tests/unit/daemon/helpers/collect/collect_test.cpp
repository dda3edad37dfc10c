// SPDX-License-Identifier: Apache-2.0
// recap-collect as the launcher starts it: another user, no capabilities, a folder that a hostile capsule filled.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "sdk/base/unique_fd.hpp"
#include "sdk/image/tar_index.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uid_t kUid = 65'534;

struct Collected {
    int status = -1;
    std::string tar;
    std::string notes;
};

class Collect : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
        fs::create_directory(out());
        writeFile(folder_.path() / "secret", "secret");
    }
    fs::path out() const { return folder_.path() / "out"; }
    void own(const fs::path& path) { ASSERT_EQ(::lchown(path.c_str(), kUid, kUid), 0); }
    void put(const std::string& name, const std::string& text) {
        writeFile(out() / name, text);
        own(out() / name);
    }

    void start(std::string limit, bool dropped = true) {
        int tar[2];
        int notes[2];
        ASSERT_EQ(::pipe2(tar, O_CLOEXEC) | ::pipe2(notes, O_CLOEXEC), 0);
        tar_.reset(tar[0]);
        notes_.reset(notes[0]);
        const UniqueFd tarEnd(tar[1]);
        const UniqueFd notesEnd(notes[1]);
        const UniqueFd target(::open(out().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        // By descriptor: the user may have no way to where the build is.
        const UniqueFd program(::open((binDir() / "recap-collect").c_str(), O_RDONLY | O_CLOEXEC));
        pid_ = ::fork();
        if (pid_ != 0) return;
        const int from[] = {::fcntl(tarEnd.get(), F_DUPFD, 10), ::fcntl(notesEnd.get(), F_DUPFD, 10), ::fcntl(target.get(), F_DUPFD, 10)};
        if (::dup2(from[0], 1) < 0 || ::dup2(from[1], 2) < 0 || ::dup2(from[2], 3) < 0) ::_exit(125);
        if (dropped && (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, kUid, kUid, kUid) != 0 ||
                        ::syscall(SYS_setresuid, kUid, kUid, kUid) != 0))
            ::_exit(124);
        char name[] = "recap-collect";
        char* const argv[] = {name, limit.data(), nullptr};
        ::fexecve(program.get(), argv, environ);
        ::_exit(126);
    }

    Collected finish() {
        Collected result;
        std::thread notes([&] { result.notes = drain(notes_.get()); });
        result.tar = drain(tar_.get());
        notes.join();
        int status = 0;
        ::waitpid(pid_, &status, 0);
        result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return result;
    }
    Collected collect(const std::string& limit = "1000000", bool dropped = true) {
        start(limit, dropped);
        return finish();
    }

    static std::string drain(int fd) {
        std::string all;
        char buffer[65536];
        for (ssize_t got; (got = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(got));
        return all;
    }

    std::vector<std::string> names(const Collected& collected) {
        writeFile(folder_.path() / "a.tar", collected.tar);
        const UniqueFd fd(::open((folder_.path() / "a.tar").c_str(), O_RDONLY | O_CLOEXEC));
        const auto members = image::indexTar(fd.get());
        EXPECT_TRUE(members) << members.error().message;
        std::vector<std::string> all;
        if (members) {
            for (const auto& member : *members) all.push_back(member.path);
        }
        return all;
    }

    TempDir folder_{"recap-collect"};
    pid_t pid_ = -1;
    UniqueFd tar_, notes_;
};

TEST_F(Collect, StreamsFilesAndFolders) {
    put("b", "two");
    fs::create_directories(out() / "sub/deep");
    put("sub/deep/a", "one");
    const auto done = collect();
    EXPECT_EQ(done.status, 0) << done.notes;
    EXPECT_THAT(names(done), ElementsAre("b", "sub", "sub/deep", "sub/deep/a"));
    EXPECT_THAT(done.tar, HasSubstr("one"));
}

TEST_F(Collect, AnEmptyFolderIsAnEmptyArchive) {
    const auto done = collect();
    EXPECT_EQ(done.status, 0) << done.notes;
    EXPECT_EQ(done.tar, std::string(1024, '\0'));
}

TEST_F(Collect, LeavesOutWhatIsNoRegularFileAndFollowsNothing) {
    put("kept", "kept");
    fs::create_symlink("/etc/passwd", out() / "absolute");
    fs::create_symlink("../secret", out() / "climbing");
    fs::create_symlink("..", out() / "parent");
    ASSERT_EQ(::mkfifo((out() / "fifo").c_str(), 0666), 0);
    ASSERT_EQ(::mknod((out() / "device").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
    const auto done = collect();
    EXPECT_EQ(done.status, 3);
    EXPECT_THAT(names(done), ElementsAre("kept"));
    EXPECT_THAT(done.tar, testing::Not(HasSubstr("secret")));
    for (const auto* name : {"'absolute'", "'climbing'", "'parent'", "'fifo'", "'device'"}) EXPECT_THAT(done.notes, HasSubstr(name));
}

TEST_F(Collect, ReadsOnlyWhatItsUserMay) {
    writeFile(out() / "roots", "secret");
    ASSERT_EQ(::chmod((out() / "roots").c_str(), 0600), 0);
    ASSERT_EQ(::link((folder_.path() / "secret").c_str(), (out() / "linked").c_str()), 0);
    ASSERT_EQ(::chmod((folder_.path() / "secret").c_str(), 0600), 0);
    const auto done = collect();
    EXPECT_EQ(done.status, 3);
    EXPECT_THAT(names(done), IsEmpty());
}

TEST_F(Collect, KeepsToItsCap) {
    put("a", std::string(600, 'a'));
    put("b", std::string(600, 'b'));
    put("c", std::string(400, 'c'));
    const auto done = collect("1000");
    EXPECT_EQ(done.status, 3);
    EXPECT_THAT(names(done), ElementsAre("a", "c"));
    EXPECT_THAT(done.notes, HasSubstr("'b'"));
}

TEST_F(Collect, ASparseFileCountsWithItsWholeSize) {
    put("holes", "x");
    fs::resize_file(out() / "holes", std::uintmax_t{1} << 40);
    put("small", "kept");
    const auto done = collect();
    EXPECT_EQ(done.status, 3);
    EXPECT_THAT(names(done), ElementsAre("small"));
}

TEST_F(Collect, AFileThatShrinksWhileItIsReadLeavesAValidArchive) {
    put("a", std::string(8 << 20, 'a'));  // more than the pipe takes: the collector waits in mid-file
    put("b", "last");
    start("100000000");
    ASSERT_TRUE(waitReadable(tar_.get(), Deadline(kPatience)));
    fs::resize_file(out() / "a", 0);
    const auto done = finish();
    EXPECT_EQ(done.status, 3);
    EXPECT_THAT(names(done), ElementsAre("a", "b"));
    EXPECT_EQ(done.tar.size(), 512u + (8u << 20) + 512 + 512 + 1024);
}

TEST_F(Collect, AFolderDeeperThanReadersTakeIsLeftOut) {
    auto path = out();
    for (int i = 0; i < 80; ++i) path /= "d";
    fs::create_directories(path);
    const auto done = collect();
    EXPECT_EQ(done.status, 3);
    EXPECT_EQ(names(done).size(), 64u);
}

TEST_F(Collect, RefusesToRunWithCapabilities) {
    put("a", "x");
    const auto done = collect("1000", false);
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.tar, IsEmpty());
    EXPECT_THAT(done.notes, HasSubstr("started with capabilities"));
}

TEST_F(Collect, RefusesASizeThatIsNone) {
    for (const auto* limit : {"", "-1", "10M", "99999999999999999999"}) EXPECT_EQ(collect(limit).status, 1) << limit;
}

TEST_F(Collect, IsJailedWhileItReads) {
    put("a", std::string(8 << 20, 'a'));
    start("100000000");
    ASSERT_TRUE(waitReadable(tar_.get(), Deadline(kPatience)));
    auto status = statusOf(pid_);
    EXPECT_EQ(status["Seccomp"], "2");
    EXPECT_EQ(status["NoNewPrivs"], "1");
    EXPECT_EQ(status["CapEff"], "0000000000000000");
    EXPECT_THAT(status["Uid"], HasSubstr("65534"));
    EXPECT_EQ(finish().status, 0);
}

}  // namespace
}  // namespace recap::test
