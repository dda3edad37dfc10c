// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/procfs.hpp"

#include <gtest/gtest.h>

#include "daemon/launcher/journal.hpp"
#include "daemon/launcher/store.hpp"

namespace recap::launcher {
namespace {

TEST(ParseStat, IsNotFooledByTheProcesssName) {
    auto stat = parseStat("17 (a) R (b) S 1 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2");
    ASSERT_TRUE(stat);
    EXPECT_EQ(stat->state, 'S');
    EXPECT_EQ(stat->parent, 1);
    EXPECT_EQ(stat->startTime, 987654u);
    EXPECT_FALSE(stat->kernelThread());
    for (const char* broken : {"", "17 (a)", "17 (a) S", "17 (a) S x 17", "17 a S 1 2 3"}) EXPECT_FALSE(parseStat(broken)) << broken;
}

TEST(ParseCgroup, PrefersTheUnifiedHierarchyUnlessItIsTheRoot) {
    EXPECT_EQ(parseCgroup("0::/pod/web\n"), "/pod/web");
    EXPECT_EQ(parseCgroup("9:name=systemd:/a\n8:pids:/docker/1\n0::/\n"), "/docker/1");
    EXPECT_EQ(parseCgroup("9:name=systemd:/a\n0::/docker/1\n"), "/docker/1");
    EXPECT_EQ(parseCgroup("0::/\n"), "/");
    EXPECT_EQ(parseCgroup(""), "");
}

TEST(Procfs, MountsAreToldApartByTheirNumbers) {
    EXPECT_EQ(parseMountIds("37 35 0:44 / /b rw - x y z\n36 35 98:0 / /a rw - x y z\nnonsense\n102 1 0:1 / /c rw - x y z"),
              (std::vector<std::uint64_t>{36, 37, 102}));
    EXPECT_TRUE(parseMountIds("").empty());
}

TEST(ParseMountinfo, UnescapesPathsAndFindsTheType) {
    const auto mounts = parseMountinfo(
        "36 35 98:0 / /a\\040b\\134c rw,noatime master:1 - ext4 /dev/root rw\n"
        "37 35 0:44 / /broken\\04 rw - fuse.sshfs host: rw\nnonsense\n");
    ASSERT_EQ(mounts.size(), 2u);
    EXPECT_EQ(mounts[0].path, "/a b\\c");
    EXPECT_EQ(mounts[0].type, "ext4");
    EXPECT_EQ(mounts[1].path, "/broken\\04");
    EXPECT_TRUE(isForeign(mounts[1].type));
    EXPECT_TRUE(isForeign("nfs4"));
    EXPECT_TRUE(isForeign("autofs"));
    EXPECT_TRUE(isForeign("a-type-of-next-year"));
    EXPECT_FALSE(isForeign("fusectl"));
    EXPECT_FALSE(isForeign("xfs"));
    EXPECT_FALSE(isForeign("overlay"));
}

TEST(StatusLine, NeedsTheWholeKey) {
    EXPECT_EQ(statusLine("Pid:\t7\nPPid:\t1\n", "Pid"), "7");
    EXPECT_EQ(statusLine("PPid:\t1\n", "Pid"), "");
}

TEST(ImageRecord, SurvivesItsBytesAndRefusesDamage) {
    const ImageRecord record{std::string(64, 'a'), 62, {std::string(64, '0'), std::string(64, 'f')}};
    const std::string bytes = encodeRecord(record);
    auto back = decodeRecord(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->digest, record.digest);
    EXPECT_EQ(back->layers, record.layers);
    for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decodeRecord(bytes.substr(0, size))) << size;
    EXPECT_FALSE(decodeRecord(bytes + "x"));
}

TEST(JournalField, AValueWithANewlineCannotForgeAField) {
    std::string record;
    appendField(record, "MESSAGE", "a\nPRIORITY=0");
    EXPECT_EQ(record, std::string("MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n", 29));
    record.clear();
    appendField(record, "MESSAGE", "plain");
    EXPECT_EQ(record, "MESSAGE=plain\n");
}

}  // namespace
}  // namespace recap::launcher
