// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/progress.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "sdk/base/unique_fd.hpp"
#include "tests/support/wait.hpp"

namespace recapctl {
namespace {

constexpr std::chrono::milliseconds kOften{10};

class ProgressTest : public testing::Test {
protected:
    ProgressTest() {
        int master = -1, slave = -1;
        if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) throw std::runtime_error("openpty");
        master_.reset(master);
        slave_.reset(slave);
    }
    bool sees(const std::string& text) {
        const recap::test::Deadline deadline{recap::test::kPatience};
        char buffer[512];
        while (seen_.find(text) == std::string::npos && recap::test::waitReadable(master_.get(), deadline))
            seen_.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(::read(master_.get(), buffer, sizeof buffer), 0)));
        return seen_.find(text) != std::string::npos;
    }

    recap::UniqueFd master_, slave_;
    std::string seen_;
};

TEST_F(ProgressTest, SaysHowFarTheReaderIsAndIsTakenAway) {
    const recap::UniqueFd file(::memfd_create("archive", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(file.get(), 1000), 0);
    ASSERT_EQ(::lseek(file.get(), 430, SEEK_SET), 430);
    {
        const Progress progress("importing app\n.tar", file.get(), slave_.get(), kOften);
        EXPECT_TRUE(sees("importing app\\x0a.tar: 43%, 0 s")) << seen_;
        ::lseek(file.get(), 1000, SEEK_SET);
        EXPECT_TRUE(sees("100%, ")) << seen_;
    }
    ASSERT_EQ(::write(slave_.get(), "end", 3), 3);
    EXPECT_TRUE(sees("\r\033[Kend")) << seen_;
}

TEST_F(ProgressTest, SaysHowLongItTakesWhereNobodyKnowsMore) {
    const Progress progress("importing docker-daemon:app:1", -1, slave_.get(), kOften);
    EXPECT_TRUE(sees("importing docker-daemon:app:1: 0 s")) << seen_;
}

TEST_F(ProgressTest, WhatIsOverSoonSaysNothing) {
    { const Progress progress("importing app.tar", -1, slave_.get(), std::chrono::hours(1)); }
    ASSERT_EQ(::write(slave_.get(), "end", 3), 3);
    EXPECT_TRUE(sees("end"));
    EXPECT_EQ(seen_, "end");
}

TEST_F(ProgressTest, IsForTerminalsOnly) {
    const recap::UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
    {
        const Progress logged("importing app.tar", -1, file.get(), kOften);
        const Progress shown("importing app.tar", -1, slave_.get(), kOften);
        EXPECT_TRUE(sees(": 0 s"));
    }
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 0);
}

TEST_F(ProgressTest, ALiveLineIsWrittenAnewAndTakenAway) {
    {
        LiveLine line(slave_.get());
        EXPECT_TRUE(line.isSeen());
        line.show("1 of 3");
        line.show("1 of 3");
        line.show("2 of 3");
        line.takeAway();
        ASSERT_EQ(::write(slave_.get(), "a result ", 9), 9);
        line.show("2 of 3");
    }
    ASSERT_EQ(::write(slave_.get(), "end", 3), 3);
    EXPECT_TRUE(sees("end"));
    EXPECT_EQ(seen_, "\r\033[K1 of 3\r\033[K2 of 3\r\033[Ka result \r\033[K2 of 3\r\033[Kend");
    const recap::UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
    LiveLine logged(file.get());
    EXPECT_FALSE(logged.isSeen());
    logged.show("1 of 3");
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 0);
}

}  // namespace
}  // namespace recapctl
