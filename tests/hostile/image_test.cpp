// SPDX-License-Identifier: Apache-2.0
// Attacks by a capsule's image: T4, T5, T8, T19. Those of a target's files in its place are in view_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <sstream>

#include "tests/hostile/arena.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using launcher::End;
using launcher::Plan;

// CVE-2019-5736: an entry point that makes the kernel execute the launcher itself, from inside.
TEST(T4, AnImageCannotMakeTheLauncherExecuteItself) {
    const MicroContainer target;
    expectInVain(Threat::OwnProgram, [&](Arena& arena, Score& score) {
        writeFile(arena.layer() / "own", "#!/proc/self/exe\n");
        ::chmod((arena.layer() / "own").c_str(), 0755);
        while (goOn(arena, score, 20)) {
            Plan plan = arena.plan(target, {"--help"});
            plan.executable = "/own";
            plan.processes = launcher::Processes::None;  // or /proc/self would be nobody's
            const Finished finished = arena.run(plan, target);
            const std::string said = finished.out + finished.err;
            score.attempt(said.find("recap-launcher") != std::string::npos, "the payload is recap-launcher: " + said.substr(0, 80));
        }
        fs::remove(arena.layer() / "own");
    });
}

// CVE-2024-21626: a working directory by way of a descriptor that was left open.
TEST(T5, NoDescriptorOfTheLaunchersIsAWayOut) {
    const MicroContainer target;
    expectInVain(Threat::LeakedDescriptors, [&](Arena& arena, Score& score) {
        std::vector<std::string> ways{"/proc/1/cwd", "/proc/1/root"};
        for (int fd = 3; fd <= 40; ++fd) ways.push_back("/proc/self/fd/" + std::to_string(fd));
        for (int round = 0; round < rounds(1); ++round)
            for (const auto& way : ways) {
                if (!goOn(arena, score, 1000)) return;
                Plan plan = arena.plan(target, {"self"});
                plan.workdir = way;
                plan.processes = launcher::Processes::None;
                const Finished finished = arena.run(plan, target);
                const auto self = values(finished.out);
                const bool ran = finished.report.end == End::Exited && self.contains("cwd");
                score.attempt(ran && self.at("cwd").front() != '/', way + " is " + (ran ? self.at("cwd") : ""));
                score.attempt(ran && self.at("open") != "0 1 2", "open: " + (ran ? self.at("open") : ""));
            }
    });
}

// CVE-2025-31133, 2021-30465: what is to be mounted on is a link to somewhere else.
TEST(T8, NoMountpointOfAnImageLeadsOutOfIt) {
    const MicroContainer target;
    expectInVain(Threat::DivertedMounts, [&](Arena& arena, Score& score) {
        const TempDir outside{"recap-outside"};
        const std::string climb = "../../../../../../../../../..";
        for (int i = 0; goOn(arena, score, 12); ++i) {
            const std::string name = "way" + std::to_string(i);
            const std::string to = (i % 2 == 0 ? "" : climb) + outside.path().string();
            fs::create_symlink(to, arena.layer() / name);
            Plan plan = arena.plan(target, {"exit"});
            plan.artifacts = "/" + name + "/deep";
            plan.artifactsMax = 1 << 20;
            static_cast<void>(arena.run(plan, target));
            score.attempt(!fs::is_empty(outside.path()), "a folder was made outside of the image by " + name + " -> " + to);
            fs::remove(arena.layer() / name);
        }
    });
}

// Shows where in its root file systems are mounted. Every turn has a root of another size: one of the same would have been made ahead,
// from the image as it was.
Plan showingMounts(Arena& arena, const MicroContainer& target, unsigned turn) {
    Plan plan = arena.plan(target, {"cat", "/proc/self/mountinfo"});
    plan.limits.scratch -= turn * 4096;
    return plan;
}

std::vector<std::string> mountpointsIn(const std::string& mountinfo) {
    std::vector<std::string> found;
    for (const std::string& line : lines(mountinfo)) {
        std::istringstream fields(line);
        std::string field;
        for (int i = 0; i < 5; ++i) fields >> field;
        found.push_back(field);
    }
    return found;
}

// A link to a folder that the image has: who follows it mounts there.
TEST(T8, NoLinkInAMountpointsPlaceIsFollowed) {
    const MicroContainer target;
    expectInVain(Threat::DivertedMounts, [&](Arena& arena, Score& score) {
        unsigned turn = 0;
        for (const std::string name : {"proc", "dev", ".recap"}) {
            fs::create_symlink("etc", arena.layer() / name);
            const Finished finished = arena.run(showingMounts(arena, target, ++turn), target);
            const auto mounted = mountpointsIn(finished.out);
            attemptEach(arena, score, std::ranges::any_of(mounted, [](const auto& path) { return path.starts_with("/etc"); }),
                        "/etc was mounted on by way of /" + name);
            EXPECT_TRUE(arena.weakened() || (finished.report.end == End::NotStarted && finished.report.step == "mounts"))
                << name << ": " << finished.report.step;
            fs::remove(arena.layer() / name);
        }
    });
}

// (The kernel itself mounts no folder on what is none: nobody is weakened here.)
TEST(T8, WhatIsNoFolderIsNoMountpointAndWhatIsMissingIsMade) {
    const MicroContainer target;
    Arena arena(std::nullopt);
    unsigned turn = 0;
    for (const std::string name : {"proc", "dev", ".recap"}) {
        const fs::path place = arena.layer() / name;
        for (const std::string kind : {"file", "fifo"}) {
            SCOPED_TRACE(name + " is a " + kind);
            ASSERT_EQ(::mknod(place.c_str(), (kind == "file" ? S_IFREG : S_IFIFO) | 0666, 0), 0);
            const Finished finished = arena.run(showingMounts(arena, target, ++turn), target);
            EXPECT_EQ(finished.report.end, End::NotStarted);
            EXPECT_EQ(finished.report.step, "mounts");
            EXPECT_EQ(finished.report.error, ENOTDIR);
            EXPECT_THAT(finished.report.left, ::testing::IsEmpty());
            fs::remove(place);
        }
    }
    EXPECT_THAT(mountpointsIn(arena.run(showingMounts(arena, target, ++turn), target).out),
                ::testing::UnorderedElementsAre("/", "/proc", "/proc/self", "/proc/thread-self", "/.recap/proc", "/dev"));
}

// CVE-2021-3493, 2023-0386: rights that a layer brings along.
void bringDeviceAndUser(Arena& arena, const MicroContainer& target, Score& score) {
    ASSERT_EQ(::mknod((arena.layer() / "node").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    ::chmod((arena.layer() / "node").c_str(), 0666);
    fs::copy_file(arena.layer() / "payload", arena.layer() / "setuid");
    ::chmod((arena.layer() / "setuid").c_str(), 06755);
    do {
        const auto tried = values(arena.run(arena.plan(target, {"append", "/node"}), target).out);
        ASSERT_TRUE(tried.contains("/node"));
        attemptEach(arena, score, tried.at("/node") == "written", "a device of the layer's was written to");
        Plan plan = arena.plan(target, {"self"});
        plan.executable = "/setuid";
        const auto self = values(arena.run(plan, target).out);
        ASSERT_TRUE(self.contains("uid"));
        score.attempt(self.at("uid") != "101 101" || self.at("gid") != "101 101", "a setuid file made it uid " + self.at("uid"));
    } while (goOn(arena, score, 20));
    fs::remove(arena.layer() / "node");
    fs::remove(arena.layer() / "setuid");
}

TEST(T19, ALayerBringsNoDeviceAndNoOtherUser) {
    const MicroContainer target;
    expectInVain(Threat::OverlayTricks, [&](Arena& arena, Score& score) { bringDeviceAndUser(arena, target, score); });
}

// The overlay is mounted in another way where the kernel takes no descriptors for its layers.
TEST(T19, ALayerBringsNoDeviceAndNoOtherUserWhereLayersAreNamed) {
    const MicroContainer target;
    Surroundings around;
    around.options = {"--without", "overlay-fd"};
    expectInVain(
        Threat::OverlayTricks, [&](Arena& arena, Score& score) { bringDeviceAndUser(arena, target, score); }, around);
}

}  // namespace
}  // namespace recap::test
