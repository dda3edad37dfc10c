// SPDX-License-Identifier: Apache-2.0
#include "daemon/host/settings.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace recap::host {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class HostSettings : public testing::Test {
protected:
    void SetUp() override {
        char folder[] = "/tmp/recap-settings-XXXXXX";
        root_ = ::mkdtemp(folder);
        dirs_ = {root_ / "vendor", root_ / "run", root_ / "etc"};
    }
    void TearDown() override { fs::remove_all(root_); }
    void write(const std::string& path, const std::string& text) {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text;
        ::chmod((root_ / path).c_str(), 0644);
    }
    fs::path root_;
    SettingsDirs dirs_;
};

TEST_F(HostSettings, NoTableMeansThePluginOfThatNameWithoutSettings) {
    const auto read = readInstance(dirs_, "process");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->plugin, "process");
    EXPECT_THAT(read->values, ElementsAre());
}

TEST_F(HostSettings, ListsRepeatTheirKeyAndTablesAreDotted) {
    write("etc/recapd.toml",
          "[plugins.podman]\nplugin = \"docker\"\ncgroups = [\"/x\"]\nroots = [\"/a\", \"/b\"]\ntimeout = 5\ntls.verify = "
          "true\n[plugins.other]\nx = 1\n");
    const auto read = readInstance(dirs_, "podman");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->plugin, "docker");
    EXPECT_THAT(read->values, ElementsAre(Pair("roots", "/a"), Pair("roots", "/b"), Pair("timeout", "5"), Pair("tls.verify", "true")));
}

TEST_F(HostSettings, AStrongerFolderMasksTheFileAndDropInsComeOnTop) {
    write("vendor/recapd.toml", "[plugins.p]\na = 1\nb = 1\n");
    write("etc/recapd.toml", "[plugins.p]\na = 2\n");
    write("vendor/recapd.toml.d/50-x.toml", "[plugins.p]\nc = 3\n");
    write("run/recapd.toml.d/60-y.toml", "[plugins.p]\na = 4\n");
    const auto read = readInstance(dirs_, "p");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_THAT(read->values, ElementsAre(Pair("a", "4"), Pair("c", "3")));
}

TEST_F(HostSettings, AFileThatOthersMayWriteIsRefused) {
    write("etc/recapd.toml", "[plugins.p]\na = 1\n");
    ::chmod((root_ / "etc/recapd.toml").c_str(), 0666);
    EXPECT_THAT(readInstance(dirs_, "p").error().message, HasSubstr("writable by group or others"));
}

TEST_F(HostSettings, AForeignersFileIsRefused) {
    if (::getuid() != 0) GTEST_SKIP() << "needs root to give a file away";
    write("etc/recapd.toml", "[plugins.p]\na = 1\n");
    ASSERT_EQ(::chown((root_ / "etc/recapd.toml").c_str(), 65534, 65534), 0);
    EXPECT_THAT(readInstance(dirs_, "p").error().message, HasSubstr("owned by uid 65534"));
}

TEST_F(HostSettings, ABrokenFileIsNamedWithItsLine) {
    write("etc/recapd.toml", "[plugins.p\n");
    EXPECT_THAT(readInstance(dirs_, "p").error().message, HasSubstr("recapd.toml:1"));
}

}  // namespace
}  // namespace recap::host
