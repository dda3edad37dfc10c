// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/artifacts.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/files.hpp"

namespace recapctl {
namespace {

namespace fs = std::filesystem;

struct Artifacts : testing::Test {
    recap::test::TempDir temp;
    fs::path out = temp.path() / "out";
    recap::UniqueFd folder;
    void SetUp() override {
        fs::create_directory(out);
        folder = recap::UniqueFd(::open(out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
};

TEST_F(Artifacts, AreWrittenWithTheFoldersTheyNeed) {
    auto file = createBeneath(folder.get(), "a/b/capture.pcap", 0640);
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_EQ(::write(file->get(), "x", 1), 1);
    EXPECT_EQ(recap::test::readFile(out / "a/b/capture.pcap"), "x");
    EXPECT_EQ(fs::status(out / "a/b/capture.pcap").permissions() & fs::perms::others_all, fs::perms::none);
}

TEST_F(Artifacts, CannotLeadOut) {
    for (const char* name : {"../escape", "/etc/escape", "a/../../escape", "a/./b", "", "a/"}) {
        const auto file = createBeneath(folder.get(), name, 0644);
        EXPECT_FALSE(file) << name;
    }
    EXPECT_FALSE(fs::exists(temp.path() / "escape"));
}

TEST_F(Artifacts, DoNotFollowLinksThatAreThereAlready) {
    fs::create_directory(temp.path() / "elsewhere");
    fs::create_directory_symlink(temp.path() / "elsewhere", out / "link");
    recap::test::writeFile(temp.path() / "victim", "kept");
    fs::create_symlink(temp.path() / "victim", out / "file");
    EXPECT_FALSE(createBeneath(folder.get(), "link/new", 0644));
    EXPECT_FALSE(createBeneath(folder.get(), "file", 0644));
    EXPECT_TRUE(fs::is_empty(temp.path() / "elsewhere"));
    EXPECT_EQ(recap::test::readFile(temp.path() / "victim"), "kept");
}

TEST_F(Artifacts, ReplaceWhatAnEarlierRunLeft) {
    recap::test::writeFile(out / "report", "older and longer");
    { ASSERT_TRUE(createBeneath(folder.get(), "report", 0644)); }
    EXPECT_EQ(recap::test::readFile(out / "report"), "");
}

}  // namespace
}  // namespace recapctl
