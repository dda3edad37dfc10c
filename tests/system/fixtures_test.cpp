// SPDX-License-Identifier: Apache-2.0
// The tests' own ground: containers are real and leave nothing, and the observer sees what it is there to see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/proc.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool anyCgroupNamed(const std::string& name) {
    for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup"))
        if (hierarchy.is_directory() && fs::exists(hierarchy.path() / name)) return true;
    return fs::exists("/sys/fs/cgroup/" + name);
}

TEST(MicroContainer, ServesPagesAsAnUnprivilegedUserWithoutAShell) {
    const MicroContainer nginx;
    const HttpAnswer answer = nginx.get("/");
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.body, HasSubstr("Served by nginx"));
    const auto status = statusOf(nginx.pid());
    EXPECT_EQ(status.at("Uid"), "101\t101\t101\t101");
    EXPECT_EQ(status.at("CapEff"), "0000000000000000");
    EXPECT_NE(namespaceOf(nginx.pid(), "net"), namespaceOf(::getpid(), "net"));
    EXPECT_FALSE(nginx.exec({"/bin/sh", "-c", "true"}).ok());
}

TEST(MicroContainer, LeavesNoProcessFolderOrCgroup) {
    pid_t pid = 0;
    fs::path folder;
    std::string name;
    {
        const MicroContainer nginx;
        pid = nginx.pid();
        name = nginx.name();
        folder = nginx.rootfs().parent_path();
        EXPECT_TRUE(anyCgroupNamed(name));
    }
    const auto first = processOf(pid);  // a zombie of whoever adopts orphans on this machine is not the container's
    EXPECT_TRUE(!first || first->state == 'Z') << "the container's PID 1 is still there";
    EXPECT_FALSE(fs::exists(folder));
    EXPECT_FALSE(anyCgroupNamed(name));
}

TEST(MicroContainer, RunsUnderCrunToo) {
    const MicroContainer box{{.kind = "busybox", .runtime = "crun"}};
    const CommandResult hostname = box.exec({"/bin/hostname"});
    EXPECT_EQ(hostname.out, "micro\n") << hostname.all();
}

TEST(Outside, FindsNothingWhereNothingHappens) {
    const MicroContainer nginx;
    const Outside outside{{.targets = {nginx.pid()}, .contents = {nginx.rootfs()}}};
    const Picture before = outside.look();
    nginx.get("/");
    EXPECT_THAT(differences(before, outside.look()), IsEmpty());
}

TEST(Outside, SeesAProcessInATargetsNamespaceAndThatItIsGone) {
    const MicroContainer box{{.kind = "busybox"}};
    const Outside outside{{.targets = {box.pid()}}};
    const Picture before = outside.look();
    {
        const Child guest{{.argv = {"sleep", "1000"}, .network = box.pid()}};
        EXPECT_TRUE(waitUntil([&] { return !differences(before, outside.look()).empty(); }, Deadline{kPatience}));
        EXPECT_THAT(differences(before, outside.look()), Contains(HasSubstr("in the net namespace of")));
    }
    EXPECT_THAT(leftAfter(outside, before), IsEmpty());
}

TEST(Outside, SeesAZombieUnderATargetsFirstProcess) {
    // its PID 1 never waits; the orphan's parent ends first, so the orphan becomes PID 1's zombie
    const MicroContainer box{{.kind = "busybox", .argv = {"/bin/sh", "-c", "exec sleep 86402"}}};
    const Outside outside{{.targets = {box.pid()}}};
    const Picture before = outside.look();
    ASSERT_TRUE(box.exec({"/bin/sh", "-c", "(true &) ; true"}).ok());
    EXPECT_TRUE(waitUntil([&] { return !differences(before, outside.look()).empty(); }, Deadline{kPatience}));
    EXPECT_THAT(differences(before, outside.look()), Contains(HasSubstr("zombie")));
}

TEST(Outside, SeesFilesMountsAndCgroups) {
    const MicroContainer box{{.kind = "busybox"}};
    const TempDir folder;
    const fs::path cgroups = fs::path("/sys/fs/cgroup/pids") / ("recap-outside-" + std::to_string(::getpid()));
    fs::create_directory(cgroups);
    const Outside outside{{.targets = {box.pid()}, .cgroupRoots = {cgroups}, .folders = {folder.path()}, .contents = {box.rootfs()}}};
    const Picture before = outside.look();
    fs::create_directory(cgroups / "left");
    writeFile(folder.path() / "left", "");
    writeFile(box.rootfs() / "etc/app.conf", "answer = 43\n");  // same size
    const auto found = differences(before, outside.look());
    EXPECT_THAT(found, Contains(HasSubstr("appeared: cgroup")));
    EXPECT_THAT(found, Contains(HasSubstr("appeared: file " + (folder.path() / "left").string())));
    EXPECT_THAT(found, Contains(HasSubstr("changed: file " + (box.rootfs() / "etc/app.conf").string())));
    fs::remove(cgroups / "left");
    fs::remove(cgroups);
}

TEST(Outside, SeesAMountInATarget) {
    const MicroContainer box{{.kind = "busybox"}};
    const Outside outside{{.targets = {box.pid()}}};
    const Picture before = outside.look();
    mustRun({"nsenter", "-m", "-t", std::to_string(box.pid()), "/bin/busybox", "mount", "-t", "tmpfs", "none", "/etc"});
    EXPECT_THAT(differences(before, outside.look()), Contains(HasSubstr("/etc")));
}

TEST(Outside, SeesThatATargetEnded) {
    MicroContainer box{{.kind = "busybox"}};
    const Outside outside{{.targets = {box.pid()}}};
    const Picture before = outside.look();
    box.kill();
    EXPECT_THAT(differences(before, outside.look()), Contains(HasSubstr("gone")));
}

}  // namespace
}  // namespace recap::test
