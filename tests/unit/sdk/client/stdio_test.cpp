// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/stdio.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/wait.hpp"

namespace recapctl {
namespace {

// Puts other descriptors at 0, 1, 2 for as long as it lives.
class Standing {
public:
    Standing(int in, int out, int err) {
        const int now[3] = {in, out, err};
        for (int i = 0; i < 3; ++i) {
            kept_[i] = recap::UniqueFd(::fcntl(i, F_DUPFD_CLOEXEC, 10));
            if (now[i] >= 0)
                ::dup2(now[i], i);
            else
                ::close(i);
        }
    }
    ~Standing() {
        for (int i = 0; i < 3; ++i) ::dup2(kept_[i].get(), i);
    }

private:
    recap::UniqueFd kept_[3];
};

struct Terminal {
    recap::UniqueFd master, slave;
    Terminal() {
        int ends[2];
        if (::openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) == 0) {
            master = recap::UniqueFd(ends[0]);
            slave = recap::UniqueFd(ends[1]);
        }
    }
};

TEST(Stdio, HandsInPipesAndNothingAsTheyAre) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    recap::UniqueFd read(ends[0]), write(ends[1]), null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Standing standing(null.get(), write.get(), null.get());
    const auto stdio = Stdio::open(true);
    ASSERT_TRUE(stdio);
    EXPECT_EQ(stdio->given(0), 0);
    EXPECT_EQ(stdio->given(1), 1);
    EXPECT_EQ(stdio->given(2), 2);
}

// A socket leads into this network namespace, a file takes modes and owners: recap-launcher gives neither to a capsule with capabilities.
TEST(Stdio, NeverHandsInASocketOrAFile) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    recap::UniqueFd ours(ends[0]), theirs(ends[1]), file(::memfd_create("kept", MFD_CLOEXEC));
    const Standing standing(theirs.get(), file.get(), file.get());
    auto stdio = Stdio::open(true);
    ASSERT_TRUE(stdio);
    for (int stream = 0; stream < 3; ++stream) {
        struct stat about {};
        ASSERT_EQ(::fstat(stdio->given(stream), &about), 0);
        EXPECT_TRUE(S_ISFIFO(about.st_mode)) << stream;
    }
    EXPECT_EQ(stdio->given(1), stdio->given(2)) << "one file, one pipe: the order of what is written is kept";
    ASSERT_EQ(::write(stdio->given(1), "seen", 4), 4);
    stdio->handedOver();
    stdio->drain();
    char kept[8] = {};
    EXPECT_EQ(::pread(file.get(), kept, sizeof kept, 0), 4);
    EXPECT_STREQ(kept, "seen");
}

TEST(Stdio, NeverHandsInATerminal) {
    const Terminal terminal;
    ASSERT_TRUE(terminal.slave);
    const Standing standing(terminal.slave.get(), terminal.slave.get(), terminal.slave.get());
    const auto stdio = Stdio::open(true);
    ASSERT_TRUE(stdio);
    for (int stream = 0; stream < 3; ++stream) {
        struct stat about {};
        ASSERT_EQ(::fstat(stdio->given(stream), &about), 0);
        EXPECT_TRUE(S_ISFIFO(about.st_mode)) << stream;
    }
    EXPECT_EQ(stdio->given(1), stdio->given(2)) << "one terminal, one pipe: the order of what is written is kept";
}

TEST(Stdio, GivesNothingForAClosedStream) {
    recap::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Standing standing(-1, null.get(), null.get());
    const auto stdio = Stdio::open(true);
    ASSERT_TRUE(stdio);
    EXPECT_EQ(stdio->given(0), -1);
}

TEST(Stdio, LeavesOutputToRecapdWhereItIsNotWanted) {
    recap::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Standing standing(null.get(), null.get(), null.get());
    const auto stdio = Stdio::open(false);
    ASSERT_TRUE(stdio);
    EXPECT_EQ(stdio->given(0), 0);
    EXPECT_EQ(stdio->given(1), -1);
    EXPECT_EQ(stdio->given(2), -1);
}

TEST(Stdio, PumpsWhatTheCapsuleWritesToTheTerminal) {
    const Terminal terminal;
    recap::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    std::string seen;
    {
        const Standing standing(null.get(), terminal.slave.get(), null.get());
        auto stdio = Stdio::open(true);
        ASSERT_TRUE(stdio);
        const recap::UniqueFd capsule(::fcntl(stdio->given(1), F_DUPFD_CLOEXEC, 10));
        stdio->handedOver();
        ASSERT_EQ(::write(capsule.get(), "hello", 5), 5);
        stdio->drain();
    }
    char buffer[64];
    ASSERT_TRUE(recap::test::waitReadable(terminal.master.get(), recap::test::Deadline(recap::test::kPatience)));
    const ssize_t size = ::read(terminal.master.get(), buffer, sizeof buffer);
    ASSERT_GT(size, 0);
    EXPECT_EQ(std::string(buffer, static_cast<std::size_t>(size)), "hello");
}

TEST(Stdio, PassesTypingOnAndItsEnd) {
    const Terminal terminal;
    recap::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Standing standing(terminal.slave.get(), null.get(), null.get());
    auto stdio = Stdio::open(true);
    ASSERT_TRUE(stdio);
    const recap::UniqueFd capsule(::fcntl(stdio->given(0), F_DUPFD_CLOEXEC, 10));
    stdio->handedOver();
    const auto pumpOnce = [&] {
        auto polls = stdio->polls();
        ASSERT_GT(::poll(polls.data(), polls.size(), 20000), 0);
        stdio->pump(polls);
    };
    ASSERT_EQ(::write(terminal.master.get(), "typed\n", 6), 6);
    pumpOnce();
    char buffer[64];
    ASSERT_EQ(::read(capsule.get(), buffer, sizeof buffer), 6);
    ASSERT_EQ(::write(terminal.master.get(), "\004", 1), 1);  // Ctrl-D
    pumpOnce();
    EXPECT_EQ(::read(capsule.get(), buffer, sizeof buffer), 0);
}

}  // namespace
}  // namespace recapctl
