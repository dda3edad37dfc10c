// SPDX-License-Identifier: Apache-2.0
// Attacks by way of a watch, which follows a path through a target's files: T8, T16, T17.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/hostile/prober.hpp"
#include "tests/hostile/silent_mount.hpp"
#include "tests/support/environment.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using launcher::WatchKind;

Result<WatchAnswer> watchFile(Arena& arena, pid_t target, const std::string& path) {
    return askWatch(arena.client(), watchFor(arena.client(), target, WatchKind::File, path), target);
}

// A file of the host's, and a target whose /srv/way, a folder, and /srv/link, which leads to the host's folder, change places.
struct Outside8 {
    TempDir outside{"recap-outside"};
    MicroContainer target{{.kind = "busybox", .readOnlyRoot = false}};

    Outside8() {
        writeFile(outside.path() / "file", "host\n");
        fs::create_directories(target.rootfs() / "srv/way");
        writeFile(target.rootfs() / "srv/way/file", "own\n");
        fs::create_symlink(outside.path(), target.rootfs() / "srv/link");
        for (const char* name : {"srv", "srv/way"}) EXPECT_EQ(::chown((target.rootfs() / name).c_str(), 101, 101), 0);
    }
    // Whether what was opened tells of what becomes of the host's file.
    bool tells(const WatchAnswer& watch) const {
        writeFile(outside.path() / "file", "changed\n");
        return !changes(watch.fd.get(), Deadline{std::chrono::milliseconds(0)}).empty();
    }
};

TEST(T8, AWatchIsOfNothingThatALinkLeadsToOutside) {
    const Outside8 scene;
    expectInVain(Threat::DivertedMounts, [&](Arena& arena, Score& score) {
        for (const char* path : {"/srv/link/file", "/srv/link"}) {
            const auto watch = watchFile(arena, scene.target.pid(), path);
            attemptEach(arena, score, watch && scene.tells(*watch), std::string("a file of the host's is watched by way of ") + path);
        }
    });
}

TEST(T8, AWatchIsOfNothingThatIsPutInItsWay) {
    const Outside8 scene;
    const Prober prober(scene.target, {"exchange", "/srv", "way", "link"});
    expectInVain(Threat::DivertedMounts, [&](Arena& arena, Score& score) {
        int opened = 0;
        while (goOn(arena, score, 100)) {
            const auto watch = watchFile(arena, scene.target.pid(), "/srv/way/file");
            opened += watch.has_value();
            score.attempt(watch && scene.tells(*watch), "a file of the host's is watched");
        }
        EXPECT_TRUE(arena.weakened() || (opened > 0 && opened < score.attempts)) << opened << " of them found the folder: no race";
    });
}

// A lookup there can't be ended: nobody is to begin it.
TEST(T16, AWatchBehindASilentMountIsNotBegun) {
    const MicroContainer target({.kind = "busybox", .readOnlyRoot = false});
    fs::create_directories(target.rootfs() / "mnt");
    expectInVain(Threat::HangingMounts, [&](Arena& arena, Score& score) {
        const SilentMount mount(target);
        const auto watch = watchFile(arena, target.pid(), "/mnt/file");
        ASSERT_FALSE(watch);
        EXPECT_TRUE(arena.weakened() || watch.error().code == Errc::NotSupported) << watch.error().message;
        attemptEach(arena, score, watch.error().code == Errc::Timeout, "a child of the launcher's hangs");
    });
}

// Where a link hides that the way goes there it is begun, and left behind. (Nobody is weakened: what is not to be seen beforehand hangs
// in either case.)
TEST(T16, AWatchThatHangsHoldsNobodyElse) {
    const MicroContainer target({.kind = "busybox", .readOnlyRoot = false}), other({.kind = "busybox", .readOnlyRoot = false});
    fs::create_directories(target.rootfs() / "mnt");
    fs::create_symlink("/mnt", target.rootfs() / "way");
    Arena arena(std::nullopt);
    const auto lookups = [&] {
        int count = 0;
        for (const pid_t child : childrenOf(arena.launcher().pid()))
            if (const auto process = processOf(child); process && process->name == "recap-watch") ++count;
        return count;
    };
    {
        const SilentMount mount(target);
        const auto hanging = watchFor(arena.client(), target.pid(), WatchKind::File, "/way/file");
        const UniqueFd pidfd = openPidfd(target.pid());
        ASSERT_TRUE(arena.client().send(launcher::encode(launcher::Verb::Watch, 77, hanging), {pidfd.get()}));
        LauncherClient another(arena.launcher().socket());
        const auto beside = askWatch(another, watchFor(another, other.pid(), WatchKind::File, "/etc"), other.pid());
        EXPECT_TRUE(beside) << beside.error().message;
        const auto late = arena.client().reply();
        ASSERT_TRUE(late);
        const auto answer = launcher::decodeReply<launcher::Watched>(late->bytes);
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().code, Errc::Timeout) << answer.error().message;
        EXPECT_EQ(lookups(), 1) << "it can be ended: this shows nothing";
        const auto again = watchFile(arena, target.pid(), "/etc");
        ASSERT_FALSE(again);
        EXPECT_EQ(again.error().code, Errc::Unavailable) << again.error().message;
        EXPECT_TRUE(watchFile(arena, other.pid(), "/etc"));
        EXPECT_EQ(arena.run(arena.plan(target, {"exit"}), target).report.end, launcher::End::Exited);
    }
    EXPECT_TRUE(waitUntil([&] { return lookups() == 0; }, Deadline{kPatience})) << "its server has ended";
    const auto free = [&] { return watchFile(arena, target.pid(), "/etc").has_value(); };
    EXPECT_TRUE(waitUntil(free, Deadline{kPatience}));
}

TEST(T17, NothingOfTheHostsIsWatched) {
    Child loose(Command{.argv = {"unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c",
                                 "echo ready; exec sleep 86406"}});
    ASSERT_TRUE(loose.waitForOutput("ready", Deadline{kPatience}));
    const auto children = childrenOf(loose.pid());
    ASSERT_EQ(children.size(), 1u);
    expectInVain(Threat::SwappedTarget, [&](Arena& arena, Score& score) {
        for (const pid_t pid : {children.front(), ::getpid()})
            attemptEach(arena, score, watchFile(arena, pid, "/etc").has_value(), "/etc of the host is watched");
    });
}

}  // namespace
}  // namespace recap::test
