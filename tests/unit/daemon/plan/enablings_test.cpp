// SPDX-License-Identifier: Apache-2.0
// Which capsules' schedules are armed, as files that outlive recapd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/plan/capsules.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/daemon/plan/folders.hpp"

using namespace recap;
using namespace recap::plan;
using recap::test::capsuleText;
using testing::HasSubstr;

namespace {

bool timesFail = false;

}  // namespace

// Instead of the C library's.
extern "C" int utimensat(int folder, const char* path, const timespec times[2], int flags) noexcept {
    if (!timesFail) return static_cast<int>(::syscall(SYS_utimensat, folder, path, times, flags));
    errno = EROFS;
    return -1;
}

namespace {

struct EnablingsTest : testing::Test {
    EnablingsTest() {
        scratch.writePolicies();
        EXPECT_TRUE(policies.reload());
        scratch.write("vendor/capsules/tool.toml", capsuleText("tool"));
        EXPECT_TRUE(capsules.reload());
    }
    const CapsuleInfo& tool() { return **capsules.find("tool"); }
    // As another recapd would find it.
    CapsuleInfo laterTool() {
        CapsuleFiles later{scratch.folders(), policies, table};
        EXPECT_TRUE(later.reload());
        return **later.find("tool");
    }

    test::ScratchFolders scratch;
    SyscallTable table;
    PolicyFiles policies{scratch.folders(), table};
    CapsuleFiles capsules{scratch.folders(), policies, table};
};

TEST_F(EnablingsTest, OutliveRecapdWithWhomAndWhatFor) {
    EXPECT_FALSE(tool().enabled);
    ASSERT_TRUE(capsules.enable("tool", 1000));
    EXPECT_TRUE(tool().enabled);
    EXPECT_EQ(tool().enabling.uid, 1000u);
    EXPECT_EQ(tool().enabling.asks, asks(tool()));
    EXPECT_GT(tool().enabling.since, 0u);
    EXPECT_EQ(tool().enabling.last, 0u);
    EXPECT_EQ(laterTool().enabling, tool().enabling);
    EXPECT_TRUE(laterTool().enabled);
    ASSERT_TRUE(capsules.disable("tool"));
    EXPECT_FALSE(tool().enabled);
    EXPECT_FALSE(laterTool().enabled);
    EXPECT_TRUE(capsules.disable("tool")) << "no error";
}

TEST_F(EnablingsTest, WhenItsTimerRanOneIsKept) {
    capsules.ranAsScheduled("tool");
    EXPECT_EQ(tool().enabling.last, 0u) << "it is not enabled";
    ASSERT_TRUE(capsules.enable("tool", 0));
    capsules.ranAsScheduled("tool");
    EXPECT_GT(tool().enabling.last, tool().enabling.since);
    EXPECT_EQ(laterTool().enabling.last, tool().enabling.last);
    ASSERT_TRUE(capsules.enable("tool", 0));
    EXPECT_EQ(laterTool().enabling.last, 0u) << "enabling begins anew";
}

TEST_F(EnablingsTest, IsAsBeforeWhereItCannotBeWritten) {
    timesFail = true;
    const auto failed = capsules.enable("tool", 1000);
    timesFail = false;
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().message, HasSubstr("the time of "));
    EXPECT_FALSE(tool().enabled);
    EXPECT_FALSE(laterTool().enabled) << "nor does the next recapd have it enabled";
    ASSERT_TRUE(capsules.enable("tool", 1000));
    timesFail = true;
    ASSERT_FALSE(capsules.enable("tool", 0));
    timesFail = false;
    EXPECT_EQ(tool().enabling.uid, 1000u);
    EXPECT_EQ(laterTool().enabling.uid, 1000u);
    EXPECT_EQ(laterTool().enabling.since, tool().enabling.since);
}

TEST_F(EnablingsTest, WhatItWasIsPutBack) {
    ASSERT_TRUE(capsules.enable("tool", 1000));
    capsules.ranAsScheduled("tool");
    const Enabling before = tool().enabling;
    ASSERT_TRUE(capsules.enable("tool", 0));
    ASSERT_TRUE(capsules.restore("tool", before));
    EXPECT_EQ(tool().enabling, before);
    EXPECT_EQ(laterTool().enabling, before);
}

TEST_F(EnablingsTest, AManifestThatChangesKeepsWhatItWasEnabledFor) {
    ASSERT_TRUE(capsules.enable("tool", 1000));
    const std::string before = tool().enabling.asks;
    scratch.write("vendor/capsules/tool.toml", capsuleText("tool", "[sandbox]\nview = \"read-only\""));
    ASSERT_TRUE(capsules.reload());
    EXPECT_TRUE(tool().enabled);
    EXPECT_EQ(tool().enabling.asks, before);
    EXPECT_NE(asks(tool()), before);
}

TEST_F(EnablingsTest, WhatMayBeWrittenAndByWhichProfileIsAskedForToo) {
    const auto asked = [&](const std::string& sandbox) {
        scratch.write("vendor/capsules/tool.toml", capsuleText("tool", "[sandbox]\n" + sandbox));
        EXPECT_TRUE(capsules.reload());
        return asks(tool());
    };
    const std::string before = asked("view = \"write\"\nwrites = [\"/var/log\"]");
    EXPECT_NE(asked("view = \"write\"\nwrites = [\"/\"]"), before);
    EXPECT_NE(asked("view = \"write\"\nwrites = [\"/var/log\"]\npolicy = \"trusted\""), before);
    EXPECT_EQ(asked("view = \"write\"\nwrites = [\"/var/log\"]"), before);
}

TEST_F(EnablingsTest, ARemovedCapsulesSuccessorIsNotEnabled) {
    ASSERT_TRUE(capsules.install(capsuleText("mine"), false));
    ASSERT_TRUE(capsules.enable("mine", 1000));
    ASSERT_TRUE(capsules.remove("mine"));
    ASSERT_TRUE(capsules.install(capsuleText("mine"), false));
    EXPECT_FALSE((*capsules.find("mine"))->enabled);
}

TEST_F(EnablingsTest, AnEnablingIsOfANameEvenWhereTheFileIsGone) {
    ASSERT_TRUE(capsules.enable("tool", 1000));
    std::filesystem::remove(scratch.path("vendor/capsules/tool.toml"));
    ASSERT_TRUE(capsules.reload());
    EXPECT_FALSE(capsules.find("tool"));
    ASSERT_TRUE(capsules.enablingOf("tool")) << "whoever installs the next one would have it run by that user's right";
    EXPECT_EQ(capsules.enablingOf("tool")->uid, 1000u);
    ASSERT_TRUE(capsules.disable("tool"));
    EXPECT_FALSE(capsules.enablingOf("tool"));
}

TEST_F(EnablingsTest, AFileThatIsNoneOfRecapdsIsSaidAndEnablesNothing) {
    for (const char* text : {"", "uid 0\n", "uid -1\nsince 1\nasks x\n", "uid 0\nsince 1\nasks x", "uid 0\nsince 1\nasks x\ny\n",
                             "uid 0 \nsince 1\nasks x\n"}) {
        scratch.write("state/enabled/tool", text);
        const auto reloaded = capsules.reload();
        ASSERT_FALSE(reloaded) << text;
        EXPECT_THAT(reloaded.error().message, HasSubstr("'tool' has to be enabled again"));
        EXPECT_FALSE(tool().enabled) << text;
    }
    EXPECT_EQ(capsules.enable("unknown", 0).error().code, Errc::NotFound);
    EXPECT_EQ(capsules.disable("unknown").error().code, Errc::NotFound);
}

}  // namespace
