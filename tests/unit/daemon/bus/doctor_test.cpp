// SPDX-License-Identifier: Apache-2.0
// What doctor makes of what recap-launcher found of its kernel, and of the host's settings.
#include "daemon/bus/doctor.hpp"
#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint64_t kNewest =
    kCanObserve | kCanLayer | kCanClonePlaced | kCanKillCgroup | kCanLimit | kCanTellMemoryPeak | kCanTellPidsPeak | kCanScopeSockets;
// As the virtual machine of tests/vm has it, Debian 12's own.
constexpr std::uint64_t kOlder = (kNewest & ~(kCanObserve | kCanLayer | kCanScopeSockets)) | kCanObserveByVisit | kCanLayerByName;

// "check: status detail advice" of one row.
std::string found(const Rows& rows, const std::string& check) {
    for (const auto& row : rows) {
        if (row.at("check").get<std::string>() != check) continue;
        std::string text;
        for (const char* key : {"status", "detail", "advice"}) text += row.at(key).get<std::string>() + " | ";
        return text;
    }
    return "no row '" + check + "'";
}

Rows examined(std::uint64_t features) {
    Rows rows;
    bus::examineFeatures(features, rows);
    return rows;
}

std::size_t countOf(const Rows& rows, const std::string& status) {
    return static_cast<std::size_t>(
        std::ranges::count_if(rows, [&](const auto& row) { return row.at("status").template get<std::string>() == status; }));
}

TEST(DoctorFeatures, ANewKernelHasEverything) {
    const Rows rows = examined(kNewest);
    EXPECT_EQ(countOf(rows, "ok"), rows.size());
    EXPECT_THAT(found(rows, "kernel"), HasSubstr("ok"));
}

TEST(DoctorFeatures, AnOlderKernelRunsCapsulesAndSaysAtWhatCost) {
    const Rows rows = examined(kOlder);
    EXPECT_EQ(countOf(rows, "failed"), 0u);
    EXPECT_EQ(countOf(rows, "warning"), 4u);
    EXPECT_THAT(found(rows, "kernel"), AllOf(HasSubstr("warning"), HasSubstr("5.14"), HasSubstr("6.1"), HasSubstr("6.17")));
    EXPECT_THAT(found(rows, "overlayfs"), AllOf(HasSubstr("warning"), HasSubstr("by name"), HasSubstr("6.13")));
    EXPECT_THAT(found(rows, "observe"), AllOf(HasSubstr("warning"), HasSubstr("two forks more"), HasSubstr("6.17")));
}

TEST(DoctorFeatures, WithoutWhatEveryCapsuleNeedsTheKernelFails) {
    for (const std::uint64_t missing : {kCanLayer, kCanClonePlaced}) {
        const Rows rows = examined(kNewest & ~missing);
        EXPECT_EQ(countOf(rows, "failed"), 2u);
        EXPECT_THAT(found(rows, "kernel"), HasSubstr("failed"));
        EXPECT_THAT(found(rows, missing == kCanLayer ? "overlayfs" : "placement"), HasSubstr("no capsule can run"));
    }
}

TEST(DoctorFeatures, EachMissingFeatureHasItsPrice) {
    const std::pair<std::uint64_t, const char*> prices[] = {{kCanObserve, "observe"},
                                                            {kCanLimit, "limits"},
                                                            {kCanKillCgroup, "cgroup.kill"},
                                                            {kCanScopeSockets, "socket scope"},
                                                            {kCanTellMemoryPeak, "memory.peak"},
                                                            {kCanTellPidsPeak, "pids.peak"}};
    for (const auto& [feature, check] : prices) {
        const Rows rows = examined(kNewest & ~feature);
        EXPECT_EQ(countOf(rows, "failed"), 0u) << check;
        EXPECT_EQ(countOf(rows, "warning"), 2u) << check;  // its own, and the kernel's
        EXPECT_THAT(found(rows, check), HasSubstr("warning"));
    }
}

Rows examined(const bus::HostFacts& host) {
    Rows rows;
    bus::examineHost(host, rows);
    return rows;
}

constexpr bus::HostFacts kGoodHost{.fuseTimeout = 60, .pidMax = 4194304, .launcherFiles = 65536};

TEST(DoctorHost, NothingIsToBeDoneWhereAllIsSet) {
    const Rows rows = examined(kGoodHost);
    EXPECT_EQ(rows.size(), 4u);
    EXPECT_EQ(countOf(rows, "ok"), rows.size());
    EXPECT_THAT(found(rows, "favordynmods"), HasSubstr("no difference"));
}

TEST(DoctorHost, AFuseServerMayHoldACapsuleWithoutATimeout) {
    for (const std::optional<std::uint64_t> seconds : {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(0)}) {
        auto host = kGoodHost;
        host.fuseTimeout = seconds;
        EXPECT_THAT(found(examined(host), "fuse timeout"), AllOf(HasSubstr("warning"), HasSubstr("max_request_timeout=60")));
    }
    EXPECT_THAT(found(examined(kGoodHost), "fuse timeout"), AllOf(HasSubstr("ok"), HasSubstr("60 s")));
}

TEST(DoctorHost, SaysHowManyCapsulesFit) {
    auto host = kGoodHost;
    host.pidMax = 32768;
    host.launcherFiles = 1024;
    EXPECT_THAT(found(examined(host), "pid_max"), AllOf(HasSubstr("warning"), HasSubstr("256 capsules"), HasSubstr("4194304")));
    EXPECT_THAT(found(examined(host), "open files"), AllOf(HasSubstr("warning"), HasSubstr("64 capsules"), HasSubstr("LimitNOFILE")));
    host.launcherFiles = 20;
    EXPECT_THAT(found(examined(host), "open files"), HasSubstr("about 0 capsules"));
    host.pidMax = host.launcherFiles = 0;
    EXPECT_EQ(examined(host).size(), 2u) << "nothing is said of what is not known";
}

TEST(DoctorHost, MovesWaitUnlessTheMountFavoursThem) {
    auto host = kGoodHost;
    host.movesProcesses = true;
    EXPECT_THAT(found(examined(host), "favordynmods"), AllOf(HasSubstr("warning"), HasSubstr("grace period"), HasSubstr("remount")));
    host.favorsMoves = true;
    EXPECT_THAT(found(examined(host), "favordynmods"), AllOf(HasSubstr("ok"), HasSubstr("without waiting")));
}

TEST(DoctorHost, ReadsTheMountOption) {
    std::istringstream with("1 2 0:3 / / rw - ext4 a rw\n4 1 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate,favordynmods\n");
    std::istringstream without("4 1 0:5 / /favordynmods rw - cgroup2 cgroup2 rw,nsdelegate\n5 1 0:6 / /a rw - tmpfs favordynmods rw\n");
    EXPECT_TRUE(bus::favorsMoves(with));
    EXPECT_FALSE(bus::favorsMoves(without));
}

}  // namespace
}  // namespace recap::test
