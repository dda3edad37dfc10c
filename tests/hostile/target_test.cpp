// SPDX-License-Identifier: Apache-2.0
// Attacks by the files of a target or an image on the processes that come near them: T6, T7, T16.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "tests/hostile/arena.hpp"
#include "tests/hostile/silent_mount.hpp"
#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using launcher::Plan;

// CVE-2019-14271: a process with the host's rights loads a library of the container's.
TEST(T6, NoLibraryOfAnImageRunsInTheLauncher) {
    const MicroContainer target;
    expectInVain(Threat::ForeignLibraries, [&](Arena& arena, Score& score) {
        const fs::path root = arena.layer(), libraries = root / "lib/x86_64-linux-gnu";
        fs::create_directories(libraries);
        fs::create_directories(root / "usr/lib/x86_64-linux-gnu/gconv");
        writeFile(root / "etc/nsswitch.conf", "passwd: evil\ngroup: evil\nhosts: evil\n");
        writeFile(root / "etc/ld.so.preload", "/lib/x86_64-linux-gnu/libnss_evil.so.2\n");
        writeFile(root / "usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
                  "module INTERNAL EVIL// /lib/x86_64-linux-gnu/libnss_evil.so.2 1\n");
        fs::copy_file(binDir().parent_path() / "tests/libnss_evil.so", libraries / "libnss_evil.so.2");
        fs::copy_file("/lib/x86_64-linux-gnu/libc.so.6", libraries / "libc.so.6");
        fs::copy_file("/lib64/ld-linux-x86-64.so.2", libraries / "ld-linux-x86-64.so.2");
        while (goOn(arena, score, 20)) {
            const std::string said = arena.run(arena.plan(target, {"cat", "/tmp/evil"}), target).out;
            EXPECT_TRUE(said == "evil\n" || said.starts_with("error")) << said;
            score.attempt(said == "evil\n", "the image's name service ran with the launcher's rights");
        }
        for (const char* made : {"lib", "usr", "etc/nsswitch.conf", "etc/ld.so.preload"}) fs::remove_all(root / made);
    });
}

// CVE-2019-19921, 2023-27561, 2025-52881: a /proc that says what the container wants it to say.
TEST(T7, ATargetsOwnProcIsNotBelieved) {
    const MicroContainer target({.kind = "busybox"});
    const fs::path script = target.rootfs().parent_path() / "fake-proc";
    writeFile(script, R"(set -e
mkdir /tmp/true
for file in stat cgroup status mountinfo uid_map gid_map; do cat /proc/1/$file > /tmp/true/$file; done
mount -t tmpfs none /proc
mkdir /proc/1
sed 's/^\([UG]id:\).*/\1\t0\t0\t0\t0/' /tmp/true/status > /proc/1/status
for file in stat cgroup mountinfo uid_map gid_map; do cat /tmp/true/$file > /proc/1/$file; done
)");
    mustRun({"nsenter", "--mount=/proc/" + std::to_string(target.pid()) + "/ns/mnt", "sh", "-c",
             "mount -t tmpfs none /tmp; " + readFile(script)});
    expectInVain(Threat::FakeProc, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 20)) {
            const auto self = values(arena.run(arena.plan(target, {"self"}), target).out);
            ASSERT_TRUE(self.contains("uid"));
            score.attempt(self.at("uid") == "0 0", "it runs as root, as the target's own /proc has it");
        }
    });
}

struct Seen {
    const char* name;
    launcher::View view;
    const char* at;
};

constexpr Seen kSeen[] = {
    {"read-only", launcher::View::ReadOnly, "/target/mnt"},
    {"write", launcher::View::Write, "/target/mnt"},
    {"merged", launcher::View::Merged, "/mnt"},
};

// A file system whose server is the target's, and never answers: nobody who asks it can be ended.
TEST(T16, AMountThatNeverAnswersHoldsNoRun) {
    const MicroContainer target({.kind = "busybox", .readOnlyRoot = false});
    for (const char* folder : {"mnt", "srv"}) fs::create_directories(target.rootfs() / folder);
    expectInVain(
        Threat::HangingMounts,
        [&](Arena& arena, Score& score) {
            do {
                for (const Seen& seen : kSeen) {
                    const SilentMount mount(target);
                    Plan plan = arena.plan(target, {"ls", seen.at});
                    plan.view = seen.view;
                    if (seen.view == launcher::View::Write) plan.writes = {"/srv"};
                    plan.timeoutUsec = 1'000'000;
                    plan.graceUsec = 0;
                    bool held = false;
                    try {
                        const launcher::Report report = arena.run(plan, target).report;
                        held = !report.left.empty();
                        EXPECT_TRUE(arena.weakened() || report.omittedMounts == std::vector<std::string>{"fuse /mnt"})
                            << seen.name << ": " << report.step << ::testing::PrintToString(report.omittedMounts);
                    } catch (const std::runtime_error&) {
                        held = true;
                    }
                    attemptEach(arena, score, held, std::string("a process of the capsule's can't be ended, view ") + seen.name);
                }
            } while (goOn(arena, score, 9));
        },
        allViews());
}

// The same, where it is the whole root of the target: left out of a view of it, and nothing to merge an image with.
TEST(T16, ARootThatNeverAnswersHoldsNoRun) {
    const TempDir folder{"recap-fuse-root"};
    Child target(Command{.argv = {"unshare", "--mount", "--net", "--ipc", "--uts", "--propagation", "private", attacker().string(),
                                  "fuse-root", folder.path()}});
    ASSERT_TRUE(target.waitForOutput("ready", Deadline{kPatience}));
    const auto planOf = [&](Arena& arena, launcher::View view) {
        Plan plan = planFor(arena.client(), arena.launcher(), target.pid(), {"ls", "/target"});
        plan.view = view;
        plan.processes = launcher::Processes::None;
        plan.timeoutUsec = 1'000'000;
        plan.graceUsec = 0;
        return plan;
    };
    expectInVain(Threat::HangingMounts, [&](Arena& arena, Score& score) {
        if (!arena.weakened()) {
            const launcher::Report merged = runPlan(arena.client(), planOf(arena, launcher::View::Merged), target.pid()).report;
            EXPECT_EQ(merged.step, "merged root on fuse");
            EXPECT_EQ(merged.error, EOPNOTSUPP);
            const launcher::Report seen = runPlan(arena.client(), planOf(arena, launcher::View::ReadOnly), target.pid()).report;
            EXPECT_EQ(seen.end, launcher::End::Exited) << seen.step;
            EXPECT_THAT(seen.omittedMounts, ::testing::ElementsAre("fuse /"));
        }
        while (goOn(arena, score, 3)) {
            bool held = false;
            try {
                held = !runPlan(arena.client(), planOf(arena, launcher::View::ReadOnly), target.pid()).report.left.empty();
            } catch (const std::runtime_error&) {
                held = true;
            }
            score.attempt(held, "a process of the capsule's can't be ended");
        }
    });
}

// Reads into a mapping of a file whose server never answers, until that server is ended.
class HangingReader {
public:
    HangingReader(const std::filesystem::path& folder, int from)
        : folder_(folder), server_(Command{.argv = {attacker().string(), "fuse-files", folder}}) {
        if (!server_.waitForOutput("ready", Deadline{kPatience})) throw std::runtime_error("no FUSE server: " + server_.readOut());
        file_.reset(::open((folder / "any").c_str(), O_RDWR | O_CLOEXEC));
        memory_ = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
        if (memory_ == MAP_FAILED) throw std::runtime_error("no memory of the server's can be had");
        reading_ = std::jthread([this, from] {
            pollfd ready{from, POLLIN, 0};
            ::poll(&ready, 1, -1);
            got_ = ::read(from, memory_, 4096);
        });
        if (!server_.waitForOutput("asked for bytes", Deadline{kPatience})) throw std::runtime_error("nobody needs the server's memory");
    }
    ~HangingReader() {
        server_.signal(SIGKILL);  // its end lets go of who waits for it
        server_.wait(Deadline{kPatience});
        reading_.join();
        EXPECT_EQ(got_, -1) << "it was not held";
        ::munmap(memory_, 4096);
        file_.reset();
        mustRun({"umount", "-l", folder_});
    }
    HangingReader(const HangingReader&) = delete;
    HangingReader& operator=(const HangingReader&) = delete;

private:
    const std::filesystem::path folder_;
    Child server_;
    UniqueFd file_;
    void* memory_ = nullptr;
    std::jthread reading_;
    std::atomic<ssize_t> got_ = 0;
};

// A caller's own file: closing it asks its server, which may be him.
TEST(T16, AFileThatIsNeverClosedHoldsNobody) {
    const MicroContainer target;
    const TempDir folder{"recap-fuse-files"};
    expectInVain(Threat::HangingMounts, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 3)) {
            Child server(Command{.argv = {attacker().string(), "fuse-files", folder.path()}});
            ASSERT_TRUE(server.waitForOutput("ready", Deadline{kPatience}));
            UniqueFd file(::open((folder.path() / "any").c_str(), O_WRONLY | O_CLOEXEC));
            ASSERT_TRUE(file);
            const UniqueFd pidfd = openPidfd(target.pid());
            Plan given = arena.plan(target, {"exit"});
            given.stdio = {launcher::Stdio::Null, launcher::Stdio::Given, launcher::Stdio::Null};
            bool held = false;
            try {
                EXPECT_FALSE(arena.client().ask<launcher::Started>(launcher::Verb::Start, given, {pidfd.get(), file.get()}));
                EXPECT_EQ(arena.run(arena.plan(target, {"exit"}), target).report.end, launcher::End::Exited);
            } catch (const std::runtime_error&) {
                held = true;
            }
            score.attempt(held, "the launcher waits for the caller's server");
            server.signal(SIGKILL);  // its end lets go of who waits for it
            server.wait(Deadline{kPatience});
            file.reset();
            mustRun({"umount", "-l", folder.path()});
        }
    });
}

// Who is attached reads into memory that is a page of a file of its own server's.
TEST(T16, AReaderThatNeverGetsItsMemoryHoldsNobody) {
    const MicroContainer target;
    const TempDir folder{"recap-fuse-files"};
    expectInVain(Threat::HangingMounts, [&](Arena& arena, Score& score) {
        while (goOn(arena, score, 3)) {
            const Plan talking = arena.plan(target, {"tick", "say"});
            ASSERT_TRUE(startPlan(arena.client(), talking, target.pid()));
            arena.client().waitFor(talking.runId, launcher::RunPhase::Executing);
            std::vector<UniqueFd> ends;
            ASSERT_TRUE(arena.client().ask<launcher::Empty>(launcher::Verb::Attach, launcher::AttachRequest{talking.runId, false, 4096}, {},
                                                            &ends));
            ASSERT_EQ(ends.size(), 3u);
            HangingReader reader(folder.path(), ends[1].get());
            bool held = false;
            try {
                EXPECT_EQ(arena.run(arena.plan(target, {"exit"}), target).report.end, launcher::End::Exited);
                EXPECT_TRUE(arena.client().ask<launcher::Empty>(launcher::Verb::Stop, launcher::StopRequest{talking.runId, 0}));
                finish(arena.client(), talking.runId, -1);
                static_cast<void>(arena.client().ask<launcher::Empty>(launcher::Verb::Ack, launcher::RunRef{talking.runId}));
            } catch (const std::runtime_error&) {
                held = true;
            }
            score.attempt(held, "the launcher waits for the reader's server");
        }
    });
}

}  // namespace
}  // namespace recap::test
