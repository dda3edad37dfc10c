// SPDX-License-Identifier: Apache-2.0
// view = "write": of the target's files only the listed paths can be written, and no more than the target itself could.
#include <sys/stat.h>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

using namespace launcher;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A container with a volume of its own to write to and one that it may only read; its root is writable.
class LauncherWrite : public LauncherTest {
protected:
    static void SetUpTestSuite() {
        LauncherTest::SetUpTestSuite();
        Ceiling ceiling;
        ceiling.views = 0b1111;
        ceiling.writes = {"/tmp", "/data", "/sealed", "/etc/settings", "/var"};
        writing_ = std::make_unique<OwnLauncher>(ceiling);
    }
    static void TearDownTestSuite() {
        writing_.reset();
        LauncherTest::TearDownTestSuite();
    }
    void SetUp() override {
        LauncherTest::SetUp();
        for (const char* name : {"data", "sealed"}) {
            std::filesystem::create_directory(volumes_.path() / name);
            std::filesystem::permissions(volumes_.path() / name, std::filesystem::perms::all);
        }
        target_ = std::make_unique<MicroContainer>(
            ContainerOptions{.kind = "busybox",
                             .volumes = {{volumes_.path() / "data", "/data", true}, {volumes_.path() / "sealed", "/sealed", false}},
                             .readOnlyRoot = false});
        std::filesystem::create_directories(target_->rootfs() / "var/log/deep");
        writeFile(target_->rootfs() / "var/log/app.log", "one\n");
        writeFile(target_->rootfs() / "etc/settings", "a=1\n");
        for (const char* name : {"var", "var/log", "var/log/deep", "var/log/app.log", "etc/settings"})
            ASSERT_EQ(::chown((target_->rootfs() / name).c_str(), 101, 101), 0);
        writer_ = std::make_unique<LauncherClient>(writing_->socket());
        watched_ = std::make_unique<Outside>(OutsideScope{.targets = {target_->pid()},
                                                          .daemons = {writing_->pid()},
                                                          .cgroupRoots = writing_->cgroupRoots(),
                                                          .folders = {writing_->store()}});
        quiet_ = lookWhenQuiet(*watched_);
    }
    void TearDown() override {
        EXPECT_THAT(leftAfter(*watched_, quiet_), IsEmpty()) << writing_->output();
        watched_.reset();
        writer_.reset();
        target_.reset();
        LauncherTest::TearDown();
    }
    Plan writing(std::vector<std::string> paths, std::vector<std::string> words) {
        Plan plan = planFor(*writer_, *writing_, target_->pid(), std::move(words));
        plan.view = View::Write;
        plan.writes = std::move(paths);
        return plan;
    }
    Finished runWriting(std::vector<std::string> paths, std::vector<std::string> words) {
        return runPlan(*writer_, writing(std::move(paths), std::move(words)), target_->pid());
    }
    void expectRefusedHere(const Plan& plan, Errc code, const std::string& words) {
        const auto started = startPlan(*writer_, plan, target_->pid());
        ASSERT_FALSE(started) << "was not refused";
        EXPECT_EQ(name(started.error().code), name(code)) << started.error().message;
        EXPECT_THAT(started.error().message, HasSubstr(words));
    }

    static std::unique_ptr<OwnLauncher> writing_;
    TempDir volumes_{"recap-volumes"};
    std::unique_ptr<MicroContainer> target_;
    std::unique_ptr<LauncherClient> writer_;
    std::unique_ptr<Outside> watched_;
    Picture quiet_;
};

std::unique_ptr<OwnLauncher> LauncherWrite::writing_;

TEST_F(LauncherWrite, TheListedPathsAndWhatIsBelowThem) {
    const auto tried = values(runWriting({"/var/log", "/tmp"}, {"scribble", "/target/var/log", "/target/var/log/deep", "/target/tmp"}).out);
    for (const char* folder : {"/target/var/log", "/target/var/log/deep", "/target/tmp"}) EXPECT_EQ(tried.at(folder), "written") << folder;
    EXPECT_EQ(readFile(target_->rootfs() / "var/log/scribble"), "scribble") << "it is the target's own file";
    EXPECT_EQ(target_->exec({"/bin/cat", "/tmp/scribble"}).out, "scribble");
}

TEST_F(LauncherWrite, AFileAlone) {
    const auto tried = values(runWriting({"/var/log/app.log"}, {"append", "/target/var/log/app.log", "/target/etc/settings"}).out);
    EXPECT_EQ(tried.at("/target/var/log/app.log"), "written");
    EXPECT_EQ(tried.at("/target/etc/settings"), "Read-only file system");
    EXPECT_EQ(readFile(target_->rootfs() / "var/log/app.log"), "one\nappended\n");
    EXPECT_EQ(readFile(target_->rootfs() / "etc/settings"), "a=1\n");
}

TEST_F(LauncherWrite, NothingBeside) {
    const std::vector<std::string> folders{"/target", "/target/var", "/target/tmp", "/target/data", "/target/run", "/target/dev/shm"};
    std::vector<std::string> words{"scribble"};
    words.insert(words.end(), folders.begin(), folders.end());
    const auto tried = values(runWriting({"/var/log"}, words).out);
    for (const auto& folder : folders) {
        EXPECT_EQ(tried.at(folder), "Read-only file system") << folder;
        EXPECT_EQ(tried.at(folder + " mode"), "Read-only file system") << folder;
    }
}

TEST_F(LauncherWrite, AVolume) {
    EXPECT_EQ(values(runWriting({"/data"}, {"scribble", "/target/data"}).out).at("/target/data"), "written");
    EXPECT_EQ(readFile(volumes_.path() / "data/scribble"), "scribble");
}

TEST_F(LauncherWrite, NotWhatTheTargetItselfMayOnlyRead) {
    const Report report = runWriting({"/sealed"}, {"scribble", "/target/sealed"}).report;
    EXPECT_EQ(report.end, End::NotStarted);
    EXPECT_EQ(report.step, "writes /sealed");
    EXPECT_EQ(report.error, EROFS);
    EXPECT_TRUE(std::filesystem::is_empty(volumes_.path() / "sealed"));
}

TEST_F(LauncherWrite, NoLinksNoAbsentPathsNoDevices) {
    const auto root = target_->rootfs();
    std::filesystem::create_symlink("/etc", root / "var/etc");
    std::filesystem::create_symlink("settings", root / "etc/link");
    ASSERT_EQ(::mkfifo((root / "var/fifo").c_str(), 0666), 0);
    const struct {
        const char* path;
        int error;
    } kCases[] = {
        {"/var/etc/settings", ELOOP}, {"/var/etc", ELOOP}, {"/var/absent", ENOENT}, {"/var/fifo", EINVAL}, {"/var/log/app.log/x", ENOTDIR}};
    for (const auto& [path, error] : kCases) {
        const Report report = runWriting({path}, {"ids"}).report;
        EXPECT_EQ(report.end, End::NotStarted) << path;
        EXPECT_EQ(report.step, std::string("writes ") + path);
        EXPECT_EQ(report.error, error) << path;
    }
}

TEST_F(LauncherWrite, OnlyWhatTheCeilingNames) {
    expectRefusedHere(writing({"/tmp", "/etc/passwd"}, {"ids"}), Errc::Denied, "ceiling: writes: /etc/passwd");
    expectRefusedHere(writing({"/etc/settings2"}, {"ids"}), Errc::Denied, "ceiling: writes: /etc/settings2");
    for (const char* path : {"/", "/var/../etc", "var", "/var/", "/var//log", "/var/\n"})
        expectRefusedHere(writing({path}, {"ids"}), Errc::InvalidArgument, "path to write");
    expectRefusedHere(writing({}, {"ids"}), Errc::InvalidArgument, "go together");
    Plan none = writing({"/tmp"}, {"ids"});
    none.view = View::ReadOnly;
    expectRefusedHere(none, Errc::InvalidArgument, "go together");
    Plan asked = plan({"ids"});
    asked.view = View::Write;
    asked.writes = {"/tmp"};
    expectRefused(asked, Errc::Denied, "ceiling: views: write");
}

}  // namespace
}  // namespace recap::test
