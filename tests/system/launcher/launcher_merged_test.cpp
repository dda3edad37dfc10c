// SPDX-License-Identifier: Apache-2.0
// view = "merged": the image over the target's files in one root, what is written dropped and listed.
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LauncherMerged : public LauncherTest {
protected:
    void SetUp() override {
        LauncherTest::SetUp();
        std::filesystem::create_directory(volume_.path() / "deep");
        writeFile(volume_.path() / "rows", "1 2 3\n");
    }
    // A container that anybody may write to, seen from outside until the test ends.
    MicroContainer& target(ContainerOptions options = {}) {
        if (options.kind == "nginx") options.kind = "busybox";
        options.readOnlyRoot = false;
        options.volumes.push_back({volume_.path(), "/data", true});
        target_ = std::make_unique<MicroContainer>(options);
        writeFile(target_->rootfs() / "etc/settings", "a=1\n");
        writeFile(target_->rootfs() / "etc/ld.so.preload", "/evil.so\n");
        writeFile(target_->rootfs() / "etc/ld.so.cache", "evil\n");
        std::filesystem::create_directory(target_->rootfs() / "srv");
        writeFile(target_->rootfs() / "srv/old", "old\n");
        for (const char* name : {"srv", "srv/old", "etc/settings"})
            EXPECT_EQ(::chown((target_->rootfs() / name).c_str(), options.uid + options.userNamespace, options.gid + options.userNamespace),
                      0);
        watched_ = std::make_unique<Outside>(
            OutsideScope{.targets = {target_->pid()}, .daemons = {launcher_->pid()}, .contents = {target_->rootfs(), volume_.path()}});
        quiet_ = lookWhenQuiet(*watched_);
        return *target_;
    }
    void TearDown() override {
        EXPECT_THAT(watched_ ? leftAfter(*watched_, quiet_) : std::vector<std::string>(), IsEmpty()) << launcher_->output();
        watched_.reset();
        target_.reset();
        LauncherTest::TearDown();
    }
    Plan merged(std::vector<std::string> words) {
        Plan plan = planFor(*client_, *launcher_, target_->pid(), std::move(words));
        plan.view = View::Merged;
        return plan;
    }
    // By the target's own shell.
    Finished runShell(std::string script) {
        return runPlan(*client_, merged({"exec", "/bin/busybox", "sh", "-c", std::move(script)}), target_->pid());
    }

    TempDir volume_{"recap-volume"};
    std::unique_ptr<MicroContainer> target_;
    std::unique_ptr<Outside> watched_;
    Picture quiet_;
};

TEST_F(LauncherMerged, TheImageLiesOverTheTargetsFiles) {
    target();
    const auto out = runShell(
                         "cat /etc/settings /data/rows; ls -d /payload /data/deep /target /.recap/target/etc; stat -c '%u %a' /etc /srv; "
                         "cat /proc/1/comm")
                         .out;
    EXPECT_EQ(out, "a=1\n1 2 3\n/data/deep\n/payload\n0 755\n101 755\nsleep\n");
}

TEST_F(LauncherMerged, WhatIsWrittenIsDroppedAndListed) {
    target();
    const auto finished = runShell(
        "echo b=2 >> /etc/settings; cat /etc/settings; echo new > /srv/new; mkdir /srv/folder; rm /srv/old; "
        "ln -s settings /srv/link; echo x > '/tmp/a name'; chmod 700 /srv");
    EXPECT_EQ(finished.out, "a=1\nb=2\n") << finished.err;
    EXPECT_THAT(finished.report.written, ElementsAre("C /etc/settings", "C /srv/folder", "C /srv/link", "C /srv/new", "D /srv/old"))
        << "/tmp is a tmpfs of the target's, and can't be written";
    EXPECT_THAT(finished.err, HasSubstr("/tmp/a name: Read-only file system"));
}

TEST_F(LauncherMerged, SubmountsCanBeReadAndNotWritten) {
    target();
    const auto finished = runShell("echo x > /data/x; echo x > /tmp/x; touch /data/deep/y; cat /data/rows");
    EXPECT_EQ(finished.out, "1 2 3\n");
    for (const char* path : {"/data/x", "/tmp/x", "/data/deep/y"})
        EXPECT_THAT(finished.err, HasSubstr(std::string(path) + ": Read-only file system"));
    EXPECT_THAT(finished.report.written, IsEmpty());
}

TEST_F(LauncherMerged, WhatTellsTheLoaderWhatToLoadIsTheImagesOrNotThere) {
    target();
    EXPECT_EQ(runShell("ls /etc/ld.so.preload /etc/ld.so.cache").out, "");
    const auto own = launcher_->folderOfLayer(launcher_->layer()) / "etc";
    std::filesystem::create_directory(own);
    writeFile(own / "ld.so.preload", "\n");
    const auto out = runShell("ls /etc/ld.so.preload /etc/ld.so.cache; cat /etc/settings").out;
    std::filesystem::remove(own / "ld.so.preload");
    EXPECT_EQ(out, "/etc/ld.so.preload\na=1\n");
}

TEST_F(LauncherMerged, NothingOfTheHostsKernelIsWithinReach) {
    target();
    EXPECT_EQ(runShell("ls /sys; ls /dev/shm /dev/mqueue; grep -c ' /\\(sys\\|dev/shm\\)' /proc/self/mountinfo").out, "/dev/shm:\n0\n");
}

TEST_F(LauncherMerged, AFolderOfTheImagesWhereTheTargetHasASubmount) {
    target();
    const auto layer = launcher_->folderOfLayer(launcher_->layer());
    writeFile(layer / "data", "a file\n");
    const auto finished = runShell("cat /data");
    std::filesystem::remove(layer / "data");
    EXPECT_EQ(finished.out, "a file\n");
    EXPECT_THAT(finished.report.omittedMounts, Contains(HasSubstr(" /data")));
}

TEST_F(LauncherMerged, ArtifactsAndScratchAreTheCapsulesOwn) {
    target();
    Plan asked =
        merged({"exec", "/bin/busybox", "sh", "-c", "echo x > /out/deep/a; dd if=/dev/zero of=/srv/big bs=1M count=64; wc -c < /srv/big"});
    asked.artifacts = "/out/deep";
    asked.artifactsMax = 1 << 20;
    asked.limits.scratch = 8 << 20;
    const auto finished = runPlan(*client_, asked, target_->pid());
    EXPECT_TRUE(finished.report.hasArtifacts);
    EXPECT_THAT(finished.err, HasSubstr("No space left on device"));
    EXPECT_LE(std::stol(finished.out), 8 << 20);
    EXPECT_THAT(finished.report.written, ElementsAre("C /srv/big"));
}

TEST_F(LauncherMerged, ALongListIsCut) {
    target();
    const auto written = runShell("mkdir /srv/d; for i in $(seq 1000 1400); do : > /srv/d/$i; done").report.written;
    ASSERT_EQ(written.size(), 257u);
    EXPECT_EQ(written.back(), "...");
}

TEST_F(LauncherMerged, InAUserNamespaceOfTheTargets) {
    target({.kind = "busybox", .uid = 0, .gid = 0, .userNamespace = 200000});
    const auto finished = runShell("id -u; echo b=2 >> /etc/settings; cat /etc/settings; stat -c %u /etc/settings");
    EXPECT_EQ(finished.out, "200000\na=1\nb=2\n200000\n") << finished.err;
    EXPECT_THAT(finished.report.written, ElementsAre("C /etc/settings"));
}

TEST_F(LauncherMerged, NoMoreCapabilitiesThanTheTarget) {
    target({.uid = 0, .gid = 0, .capabilities = {"CAP_NET_RAW"}});
    Plan asked = merged({"ids", "/"});
    asked.capabilities = 1ull << 13;  // CAP_NET_RAW
    EXPECT_EQ(runPlan(*client_, asked, target_->pid()).report.end, End::Exited);
    asked = merged({"ids", "/"});
    asked.capabilities = 1ull << 13 | 1ull << 19;  // and CAP_SYS_PTRACE
    expectRefused(asked, target_->pid(), Errc::Denied, "has not CAP_SYS_PTRACE");
}

TEST_F(LauncherMerged, TheTargetsProcessesToo) {
    target();
    Plan observing = merged({"exec", "/bin/busybox", "sh", "-c", "cat /proc/1/comm; ls /dev/fd/; readlink /proc/self"});
    observing.processes = Processes::Observe;
    EXPECT_THAT(runPlan(*client_, observing, target_->pid()).out, HasSubstr("sleep\n0\n1\n2\n"));
    Plan joining = observing;
    joining.runId = freshRunId();
    joining.processes = Processes::Join;
    joining.namespaces |= kNsPid;
    EXPECT_THAT(runPlan(*client_, joining, target_->pid()).out, HasSubstr("sleep\n0\n1\n2\n"));
}

// A process that is in a mount namespace of its own, with its root an overlay on a tmpfs, or an overlay on that: no runtime's doing.
class Overlaid {
public:
    explicit Overlaid(int overlays)
        : child_(Command{.argv = {"unshare", "--mount", "--net", "--ipc", "--uts", "--propagation", "private", "sh", "-ec", kScript, "sh",
                                  folder_.path(), std::to_string(overlays)}}) {
        const auto ready = [&] { return processOf(pid()) && processOf(pid())->name == "busybox"; };
        if (!waitUntil(ready, Deadline{kPatience})) throw std::runtime_error("the overlaid process does not start");
    }
    ~Overlaid() { ::kill(pid(), SIGKILL); }
    pid_t pid() const { return child_.pid(); }

private:
    static constexpr const char* kScript = R"(
        mount -t tmpfs tmpfs "$1"; cd "$1"
        mkdir -p base/bin base/etc; cp /usr/bin/busybox base/bin/; echo a=1 > base/etc/settings
        lower=base
        for i in $(seq "$2"); do
            mkdir u$i w$i m$i; mount -t overlay overlay -o lowerdir=$lower,upperdir=u$i,workdir=w$i m$i; lower=m$i
        done
        exec chroot $lower /bin/busybox sleep 86406)";
    TempDir folder_{"recap-overlaid"};
    Child child_;
};

TEST_F(LauncherMerged, ARootThatIsAnOverlayIsAnEnginesAndOneThatIsTwoIsRefusedByName) {
    const auto runOn = [this](const Overlaid& overlaid) {
        Plan asked = planFor(*client_, *launcher_, overlaid.pid(), {"exec", "/bin/busybox", "cat", "/etc/settings"});
        asked.processes = Processes::None;
        asked.view = View::Merged;
        return runPlan(*client_, asked, overlaid.pid());
    };
    const auto engines = runOn(Overlaid(1));
    EXPECT_EQ(engines.out, "a=1\n") << engines.report.step << engines.err;
    const Report report = runOn(Overlaid(2)).report;
    EXPECT_EQ(report.end, End::NotStarted);
    EXPECT_EQ(report.step, "merged root on overlay");
    EXPECT_EQ(report.error, EINVAL);
}

}  // namespace
}  // namespace recap::test
