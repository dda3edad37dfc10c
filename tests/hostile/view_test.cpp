// SPDX-License-Identifier: Apache-2.0
// Attacks by what a target's files are, where a capsule's root is made of them or they may be written: T8, T19.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/hostile/prober.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using launcher::End;
using launcher::Plan;
using launcher::View;

// A target whose /srv is its own to change, with a folder and a link in it that change places.
class Exchanging {
public:
    explicit Exchanging(const std::string& link) {
        fs::create_directories(target.rootfs() / "srv/way");
        fs::create_symlink(link, target.rootfs() / "srv/link");
        for (const char* name : {"srv", "srv/way", "etc"}) EXPECT_EQ(::chown((target.rootfs() / name).c_str(), 101, 101), 0);
        prober_ = std::make_unique<Prober>(target, std::vector<std::string>{"exchange", "/srv", "way", "link"});
    }
    const MicroContainer target{{.kind = "busybox", .readOnlyRoot = false}};

private:
    std::unique_ptr<Prober> prober_;
};

// CVE-2021-30465: what was checked is another when it is used.
TEST(T8, WhatMayBeWrittenIsNothingThatItsNameIsMadeToLeadTo) {
    const Exchanging exchanging("../etc");
    const MicroContainer& target = exchanging.target;
    expectInVain(
        Threat::DivertedMounts,
        [&](Arena& arena, Score& score) {
            int ran = 0;
            while (goOn(arena, score, 200)) {
                Plan plan = arena.plan(target, {"scribble", "/target/etc"});
                plan.view = View::Write;
                plan.writes = {"/srv/way"};
                const Finished finished = arena.run(plan, target);
                ran += finished.report.end == End::Exited;
                const auto said = values(finished.out);
                score.attempt(said.contains("/target/etc") && said.at("/target/etc") == "written", "/etc was written by way of /srv/way");
                fs::remove(target.rootfs() / "etc/scribble");
                fs::remove(target.rootfs() / "etc/link");
            }
            EXPECT_TRUE(arena.weakened() || (ran > 0 && ran < score.attempts)) << ran << " of them found the folder: no race";
        },
        allViews());
}

// (By the time that mountpoints are made there this root has been entered: taking away how they are looked up is not enough to
// succeed, so nobody is weakened here.)
TEST(T8, NoMountpointInAMergedRootLeadsOutOfIt) {
    const TempDir outside{"recap-outside"};
    const Exchanging exchanging(outside.path());
    Arena arena(std::nullopt, allViews().ceiling);
    int ran = 0;
    for (int i = 0; i < rounds(100); ++i) {
        Plan plan = arena.plan(exchanging.target, {"exit"});
        plan.view = View::Merged;
        plan.artifacts = "/srv/way/deep";
        plan.artifactsMax = 1 << 20;
        ran += arena.run(plan, exchanging.target).report.end == End::Exited;
        ASSERT_TRUE(fs::is_empty(outside.path())) << "a folder was made outside of the root";
    }
    EXPECT_GT(ran, 0);
    EXPECT_LT(ran, rounds(100)) << "the link was never in the way";
}

TEST(T19, ATargetBringsNoDeviceAndNoOtherUserIntoAMergedRoot) {
    const MicroContainer target({.kind = "busybox", .readOnlyRoot = false});
    ASSERT_EQ(::mknod((target.rootfs() / "node").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    ::chmod((target.rootfs() / "node").c_str(), 0666);
    expectInVain(
        Threat::OverlayTricks,
        [&](Arena& arena, Score& score) {
            const auto setuid = target.rootfs() / "setuid";
            fs::copy_file(arena.layer() / "payload", setuid, fs::copy_options::overwrite_existing);
            ::chmod(setuid.c_str(), 06755);
            while (goOn(arena, score, 20)) {
                Plan plan = arena.plan(target, {"self"});
                plan.view = View::Merged;
                plan.executable = "/setuid";
                const auto self = values(arena.run(plan, target).out);
                ASSERT_TRUE(self.contains("uid"));
                score.attempt(self.at("uid") != "101 101" || self.at("gid") != "101 101", "a setuid file made it uid " + self.at("uid"));
                plan = arena.plan(target, {"append", "/node"});
                plan.view = View::Merged;
                const auto tried = values(arena.run(plan, target).out);
                ASSERT_TRUE(tried.contains("/node"));
                score.attempt(tried.at("/node") == "written", "a device of the target's was written to");
            }
        },
        allViews());
}

}  // namespace
}  // namespace recap::test
