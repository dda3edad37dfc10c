// SPDX-License-Identifier: Apache-2.0
// WATCH: what tells of an event in a real container, opened by the launcher and read here.
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>

#include "tests/system/launcher/launcher_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using namespace launcher;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool told(int fd, short event, const Deadline& deadline) {
    pollfd waiting{fd, event, 0};
    return ::poll(&waiting, 1, deadline.remainingMs()) == 1 && (waiting.revents & event) != 0;
}

class LauncherWatch : public LauncherTest {
protected:
    Result<WatchAnswer> ask(const WatchRequest& watch, pid_t target) { return askWatch(*client_, watch, target); }
    WatchAnswer opened(const WatchRequest& watch, pid_t target) {
        auto answer = ask(watch, target);
        if (!answer) throw std::runtime_error("WATCH: " + answer.error().message);
        return std::move(*answer);
    }
    WatchRequest file(pid_t target, const std::string& path) { return watchFor(*client_, target, WatchKind::File, path); }
    WatchRequest oom(pid_t target) { return watchFor(*client_, target, WatchKind::Oom); }
    void expectNot(const WatchRequest& watch, pid_t target, Errc code, const std::string& words) {
        const auto answer = ask(watch, target);
        ASSERT_FALSE(answer) << "was not refused";
        EXPECT_EQ(name(answer.error().code), name(code)) << answer.error().message;
        EXPECT_THAT(answer.error().message, HasSubstr(words));
    }
};

// A container with files that it may change.
struct Writable {
    explicit Writable(std::vector<std::string> argv = {}, const std::string& runtime = "runc")
        : container({.kind = "busybox", .argv = std::move(argv), .readOnlyRoot = false, .runtime = runtime}) {
        fs::create_directories(container.rootfs() / "srv");
        ::chmod((container.rootfs() / "srv").c_str(), 0777);
        writeFile(container.rootfs() / "srv/app.conf", "old\n");
        ::chmod((container.rootfs() / "srv/app.conf").c_str(), 0666);
    }
    pid_t pid() const { return container.pid(); }
    fs::path at(const std::string& path) const { return container.rootfs() / path; }
    void sh(const std::string& script) const { ASSERT_EQ(container.exec({"/bin/sh", "-c", script}).status, 0); }
    MicroContainer container;
};

TEST_F(LauncherWatch, AFileThatIsWrittenToIsTold) {
    const Writable target;
    const WatchAnswer watch = opened(file(target.pid(), "/srv/app.conf"), target.pid());
    EXPECT_EQ(watch.what.form, WatchForm::Changes);
    EXPECT_THAT(changes(watch.fd.get(), Deadline{std::chrono::milliseconds(0)}), IsEmpty());
    target.sh("echo new >> /srv/app.conf");
    const auto seen = changes(watch.fd.get(), Deadline{kPatience});
    ASSERT_FALSE(seen.empty());
    EXPECT_NE(seen.front().mask & IN_MODIFY, 0u);
    const std::string at = fs::read_symlink("/proc/self/fd/" + std::to_string(watch.fd.get())).string();
    EXPECT_EQ(at, "anon_inode:inotify") << "nothing of the file itself";
    EXPECT_THAT(launcher_->journal(), Contains(HasSubstr("RECAP_RECORD=WATCH")));
}

TEST_F(LauncherWatch, AFolderTellsWhatChangesInIt) {
    const Writable target;
    const WatchAnswer watch = opened(file(target.pid(), "/srv"), target.pid());
    target.sh("echo new > /srv/fresh");
    const auto seen = changes(watch.fd.get(), Deadline{kPatience});
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.front().name, "fresh");
    EXPECT_NE(seen.front().mask & IN_CREATE, 0u);
}

TEST_F(LauncherWatch, AFileThatIsReplacedSaysSo) {
    const Writable target;
    const WatchAnswer watch = opened(file(target.pid(), "/srv/app.conf"), target.pid());
    target.sh("echo new > /srv/next && mv /srv/next /srv/app.conf");
    std::uint32_t all = 0;
    const Deadline deadline{kPatience};
    while ((all & IN_IGNORED) == 0 && !deadline.passed())
        for (const Change& change : changes(watch.fd.get(), deadline)) all |= change.mask;
    EXPECT_NE(all & IN_DELETE_SELF, 0u);
}

TEST_F(LauncherWatch, LinksAreTheTargetsOwn) {
    const Writable target;
    const TempDir outside{"recap-outside"};
    writeFile(outside.path() / "host", "host\n");
    fs::create_symlink(outside.path() / "host", target.at("srv/absolute"));
    fs::create_symlink(std::string("../../../../../../../..") + (outside.path() / "host").string(), target.at("srv/upwards"));
    for (const char* link : {"/srv/absolute", "/srv/upwards"}) expectNot(file(target.pid(), link), target.pid(), Errc::NotFound, link);
    // Where it has one of that name itself, that is what is meant.
    const std::string own = (outside.path() / "host").string();
    target.sh("mkdir -p " + outside.path().string() + " && echo own > " + own);
    for (const char* link : {"/srv/absolute", "/srv/upwards"}) {
        const WatchAnswer watch = opened(file(target.pid(), link), target.pid());
        writeFile(outside.path() / "host", "changed\n");
        EXPECT_THAT(changes(watch.fd.get(), Deadline{std::chrono::milliseconds(0)}), IsEmpty()) << link << ": the host's file";
        target.sh("echo changed > " + own);
        EXPECT_FALSE(changes(watch.fd.get(), Deadline{kPatience}).empty()) << link;
    }
    for (const char* magic : {"/proc/1/root/etc", "/proc/1/cwd", "/proc/1/fd/0"})
        expectNot(file(target.pid(), magic), target.pid(), Errc::Denied, "leads over");
    expectNot(file(target.pid(), "/proc/self/cwd"), target.pid(), Errc::NotFound,
              "/proc/self/cwd");  // who looks is not among its processes
}

TEST_F(LauncherWatch, ItKeepsNothingOfTheTargetsInUse) {
    const Writable target;
    const std::string mounts = "--mount=/proc/" + std::to_string(target.pid()) + "/ns/mnt";
    mustRun({"nsenter", mounts, "sh", "-c", "mount -t tmpfs none /srv && echo old > /srv/file"});
    const WatchAnswer watch = opened(file(target.pid(), "/srv/file"), target.pid());
    const auto keepsNone = [&] {  // it answers before it closes its own
        std::error_code gone;
        const fs::directory_iterator all("/proc/" + std::to_string(launcher_->pid()) + "/fd");
        return std::none_of(begin(all), end(all), [&](const fs::directory_entry& entry) {
            return fs::read_symlink(entry.path(), gone).string().find("inotify") != std::string::npos;
        });
    };
    EXPECT_TRUE(waitUntil(keepsNone, Deadline{kPatience}));
    mustRun({"nsenter", mounts, "umount", "/srv"});  // not lazily
    const auto seen = changes(watch.fd.get(), Deadline{kPatience});
    ASSERT_FALSE(seen.empty());
    EXPECT_NE(seen.back().mask & (IN_UNMOUNT | IN_IGNORED), 0u);
}

TEST_F(LauncherWatch, WhatCannotBeWatchedIsRefusedByName) {
    const pid_t pid = nginx_->pid();
    expectNot(file(pid, "/etc/absent"), pid, Errc::NotFound, "/etc/absent of target");
    expectNot(file(pid, "/etc/../etc"), pid, Errc::InvalidArgument, "not a plain absolute path");
    expectNot(file(::getpid(), "/etc"), ::getpid(), Errc::Denied, "it is no container");
    expectNot(oom(::getpid()), ::getpid(), Errc::Denied, "it is no container");
    expectNot(oom(launcher_->pid()), launcher_->pid(), Errc::Denied, "RECap's own");
    WatchRequest other = file(pid, "/etc");
    ++other.startTime;
    expectNot(other, pid, Errc::TargetGone, "start time");
    other = file(pid, "/etc");
    other.cgroup += "/elsewhere";
    expectNot(other, pid, Errc::TargetGone, "its cgroup is");
    other = watchFor(*client_, pid, WatchKind::Pressure);
    other.windowUsec = 400'000;
    other.stallUsec = 1;
    expectNot(other, pid, Errc::InvalidArgument, "500 ms to 10 s");
    const auto none = client_->ask<Watched>(Verb::Watch, oom(pid));
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().message, HasSubstr("one pidfd"));
    EXPECT_THAT(launcher_->journal(), Contains(HasSubstr("REFUSED watch: ")));
}

TEST_F(LauncherWatch, OnlyWhatTheCeilingNames) {
    Ceiling ceiling;
    ceiling.watch = 1u << static_cast<unsigned>(WatchKind::Oom);
    const OwnLauncher strict(ceiling);
    LauncherClient client(strict.socket());
    const auto refused = askWatch(client, watchFor(client, nginx_->pid(), WatchKind::File, "/etc"), nginx_->pid());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::Denied);
    EXPECT_THAT(refused.error().message, HasSubstr("ceiling: watch"));
    EXPECT_TRUE(askWatch(client, watchFor(client, nginx_->pid(), WatchKind::Oom), nginx_->pid()));
}

TEST_F(LauncherWatch, SixtyFourOfATargetUntilOneIsLetGo) {
    const WatchRequest watch = oom(nginx_->pid());
    std::uint64_t last = 0;
    for (int i = 0; i < 64; ++i) last = opened(watch, nginx_->pid()).what.id;
    expectNot(watch, nginx_->pid(), Errc::LimitExceeded, "64 watches");
    {
        LauncherClient another(launcher_->socket());
        EXPECT_FALSE(another.ask<Empty>(Verb::Unwatch, WatchRef{last})) << "it is not that one's";
    }
    EXPECT_TRUE(client_->ask<Empty>(Verb::Unwatch, WatchRef{last}));
    EXPECT_FALSE(client_->ask<Empty>(Verb::Unwatch, WatchRef{last})) << "once";
    EXPECT_TRUE(ask(watch, nginx_->pid()));
    expectNot(watch, nginx_->pid(), Errc::LimitExceeded, "64 watches");
    client_ = std::make_unique<LauncherClient>(launcher_->socket());
    const auto free = [&] { return ask(watch, nginx_->pid()).has_value(); };
    EXPECT_TRUE(waitUntil(free, Deadline{kPatience})) << "who had them is gone";
}

TEST_F(LauncherWatch, ManyAreAskedForAtOnce) {
    const Writable target;
    constexpr std::uint32_t kMany = 40;
    const UniqueFd pidfd = openPidfd(target.pid());
    const WatchRequest watch = file(target.pid(), "/srv/app.conf");
    for (std::uint32_t i = 0; i < kMany; ++i) ASSERT_TRUE(client_->send(encode(Verb::Watch, 1000 + i, watch), {pidfd.get()}));
    std::vector<UniqueFd> fds;
    for (std::uint32_t i = 0; i < kMany; ++i) {
        auto reply = client_->reply();
        ASSERT_TRUE(reply);
        ASSERT_TRUE(decodeReply<Watched>(reply->bytes));
        fds.push_back(std::move(reply->fds.at(0)));
    }
    target.sh("echo new >> /srv/app.conf");
    for (const UniqueFd& fd : fds) EXPECT_FALSE(changes(fd.get(), Deadline{kPatience}).empty());
}

// runc puts a container into version 1's cgroups and the unified one, crun into version 1's only, where there are both.
class LauncherWatchCgroup : public LauncherWatch, public ::testing::WithParamInterface<const char*> {
protected:
    static std::uint64_t kills(pid_t pid) {  // as the kernel counts them
        const fs::path v2 = cgroupOf(pid, ""), v1 = cgroupOf(pid, "memory");
        const bool unified = !v2.empty() && fs::exists(v2 / "memory.events");
        for (const std::string& line : lines(readFile(unified ? v2 / "memory.events" : v1 / "memory.oom_control")))
            if (line.starts_with("oom_kill ")) return std::stoull(line.substr(9));
        return 0;
    }
};

TEST_P(LauncherWatchCgroup, AnOomThatHappensIsTold) {
    const Writable target({"/bin/sh", "-c", "while [ ! -e /srv/go ]; do sleep 0.1; done; tail /dev/zero; while :; do sleep 86401; done"},
                          GetParam());
    limitMemory(target.pid(), 32 << 20);
    const WatchAnswer watch = opened(oom(target.pid()), target.pid());
    const bool counted = watch.what.form == WatchForm::Counters;
    EXPECT_TRUE(counted || watch.what.form == WatchForm::Counter);
    const short event = counted ? POLLPRI : POLLIN;
    EXPECT_EQ(kills(target.pid()), 0u);
    EXPECT_FALSE(told(watch.fd.get(), event, Deadline{std::chrono::milliseconds(0)}));
    writeFile(target.at("srv/go"), "");
    EXPECT_TRUE(told(watch.fd.get(), event, Deadline{kPatience}));
    EXPECT_TRUE(waitUntil([&] { return kills(target.pid()) > 0; }, Deadline{kPatience}));
    char text[512] = {};
    if (counted) {
        ASSERT_GT(::pread(watch.fd.get(), text, sizeof text - 1, 0), 0);
        EXPECT_THAT(std::string(text), HasSubstr("oom_kill "));
        EXPECT_EQ(::write(watch.fd.get(), "0", 1), -1) << "it was handed over read-only";
    } else {
        std::uint64_t count = 0;
        ASSERT_EQ(::read(watch.fd.get(), &count, sizeof count), 8);
        EXPECT_GE(count, 1u);
    }
    EXPECT_TRUE(processOf(target.pid())) << "the container goes on";
}

TEST_P(LauncherWatchCgroup, PressureThatRisesIsTold) {
    const Writable target(
        {"/bin/sh", "-c", "while [ ! -e /srv/go ]; do sleep 0.1; done; for i in 1 2 3 4 5 6; do while :; do :; done & done; wait"},
        GetParam());
    WatchRequest asked = watchFor(*client_, target.pid(), WatchKind::Pressure);
    asked.resource = Resource::Cpu;
    asked.stallUsec = 5'000;
    asked.windowUsec = 1'000'000;
    const fs::path own = cgroupOf(target.pid(), "");
    if (own.empty()) return expectNot(asked, target.pid(), Errc::NotSupported, "no cgroup of its own on the unified hierarchy");
    if (!fs::exists(own / "cpu.pressure")) return expectNot(asked, target.pid(), Errc::NotSupported, "cpu.pressure");
    const WatchAnswer watch = opened(asked, target.pid());
    EXPECT_EQ(watch.what.form, WatchForm::Trigger);
    EXPECT_EQ(watch.what.stallUsec * 200, watch.what.windowUsec) << "in proportion";
    EXPECT_TRUE(watch.what.windowUsec == 1'000'000 || watch.what.windowUsec == 2'000'000) << watch.what.windowUsec;
    writeFile(target.at("srv/go"), "");
    EXPECT_TRUE(told(watch.fd.get(), POLLPRI, Deadline{kPatience}));
    asked.resource = Resource::Io;
    EXPECT_TRUE(ask(asked, target.pid()));
    asked.resource = Resource::Memory;
    EXPECT_TRUE(ask(asked, target.pid()));
}

INSTANTIATE_TEST_SUITE_P(Runtimes, LauncherWatchCgroup, ::testing::Values("runc", "crun"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace recap::test
