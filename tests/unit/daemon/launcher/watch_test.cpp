// SPDX-License-Identifier: Apache-2.0
// WATCH: what is refused before anything is opened, and what is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/watch_book.hpp"

namespace recap::launcher {
namespace {

using ::testing::HasSubstr;

WatchRequest pressure(std::uint64_t stall, std::uint64_t window) {
    WatchRequest watch;
    watch.kind = WatchKind::Pressure;
    watch.stallUsec = stall;
    watch.windowUsec = window;
    return watch;
}

WatchRequest file(std::string path) {
    WatchRequest watch;
    watch.kind = WatchKind::File;
    watch.path = std::move(path);
    return watch;
}

Errc codeOf(const WatchRequest& watch, const Ceiling& ceiling = {}) {
    const auto checked = checkWatch(watch, ceiling);
    return checked ? Errc::None : checked.error().code;
}

TEST(WatchShape, APressureIsWithinWhatTheKernelTakes) {
    EXPECT_EQ(codeOf(pressure(1, 500'000)), Errc::None);
    EXPECT_EQ(codeOf(pressure(10'000'000, 10'000'000)), Errc::None);
    EXPECT_EQ(codeOf(pressure(1, 499'999)), Errc::InvalidArgument);
    EXPECT_EQ(codeOf(pressure(1, 10'000'001)), Errc::InvalidArgument);
    EXPECT_EQ(codeOf(pressure(0, 1'000'000)), Errc::InvalidArgument);
    EXPECT_EQ(codeOf(pressure(1'000'001, 1'000'000)), Errc::InvalidArgument);
}

TEST(WatchShape, APathIsPlain) {
    EXPECT_EQ(codeOf(file("/etc/app.conf")), Errc::None);
    EXPECT_EQ(codeOf(file("/")), Errc::None);
    for (const char* wrong : {"", "etc", "/etc/../x", "/etc/./x", "/etc//x", "/a\nb"})
        EXPECT_EQ(codeOf(file(wrong)), Errc::InvalidArgument) << wrong;
    EXPECT_EQ(codeOf(file("/" + std::string(4095, 'a'))), Errc::InvalidArgument);
    EXPECT_EQ(codeOf(file(std::string("/a\0b", 4))), Errc::InvalidArgument);
}

TEST(WatchShape, WhatBelongsToAnotherKindIsRefused) {
    WatchRequest oom;
    EXPECT_EQ(codeOf(oom), Errc::None);
    oom.windowUsec = 1'000'000;
    EXPECT_EQ(codeOf(oom), Errc::InvalidArgument);
    oom = {};
    oom.path = "/etc";
    EXPECT_EQ(codeOf(oom), Errc::InvalidArgument);
    WatchRequest named = file("/etc");
    named.resource = Resource::Cpu;
    EXPECT_EQ(codeOf(named), Errc::InvalidArgument);
    named = file("/etc");
    named.target = std::string(513, 'a');
    EXPECT_EQ(codeOf(named), Errc::InvalidArgument);
}

TEST(WatchCeiling, OnlyWhatItNames) {
    Ceiling ceiling;
    ceiling.watch = 1u << static_cast<unsigned>(WatchKind::Pressure);
    EXPECT_EQ(codeOf(pressure(1, 500'000), ceiling), Errc::None);
    EXPECT_EQ(codeOf(WatchRequest{}, ceiling), Errc::Denied);
    const auto refused = checkWatch(file("/etc"), ceiling);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("ceiling: watch: would watch for file"));
}

struct Scene {
    WatchRequest watch = file("/etc");
    TargetFacts facts;
    HostIds host;

    Scene() {
        watch.startTime = facts.startTime = 77;
        watch.cgroup = facts.cgroup = "/docker/1";
        watch.mounts = facts.namespaces[kNamespaces - 1] = 4026532000;
        facts.rootDevice = 1;
        facts.rootInode = 2;
        host.root = {1, 3};
    }
    Errc code() const {
        const auto checked = checkWatched(watch, facts, host);
        return checked ? Errc::None : checked.error().code;
    }
};

TEST(WatchTarget, IsTheOneThatWasExpected) {
    EXPECT_EQ(Scene().code(), Errc::None);
    Scene scene;
    scene.facts.startTime = 78;
    EXPECT_EQ(scene.code(), Errc::TargetGone);
    scene = {};
    scene.facts.cgroup = "/docker/2";
    EXPECT_EQ(scene.code(), Errc::TargetGone);
    scene = {};
    scene.facts.namespaces[kNamespaces - 1] = 1;
    EXPECT_EQ(scene.code(), Errc::TargetGone);
    scene.watch.mounts = 0;
    EXPECT_EQ(scene.code(), Errc::None) << "nobody expects anything of it";
}

TEST(WatchTarget, HasFilesOfItsOwn) {
    Scene scene;
    scene.facts.hostNamespaces = kNsMnt;
    EXPECT_EQ(scene.code(), Errc::Denied);
    scene = {};
    scene.host.root = {1, 2};
    EXPECT_EQ(scene.code(), Errc::Denied) << "another mount namespace, and the host's root in it";
    scene = {};
    scene.facts.hostNamespaces = kNsNet | kNsPid;
    EXPECT_EQ(scene.code(), Errc::None);
}

TEST(WatchBook, ATargetHasNoMoreThanItsShare) {
    WatchBook book(100);
    const WatchedTarget one{7, 1}, again{7, 2};
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < WatchBook::kMostOfATarget; ++i) last = book.add(1, one).value();
    const auto refused = book.add(1, one);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::LimitExceeded);
    EXPECT_THAT(refused.error().message, HasSubstr("64 watches"));
    EXPECT_TRUE(book.add(1, again)) << "the pid's next life";
    EXPECT_TRUE(book.remove(1, last));
    EXPECT_TRUE(book.add(1, one));
}

TEST(WatchBook, ThereAreNoMoreThanFourThousand) {
    WatchBook book(0);
    for (std::uint32_t i = 0; i < WatchBook::kMost; ++i) ASSERT_TRUE(book.add(1, {i / 32 + 2, 1}));
    const auto refused = book.add(1, {1, 1});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::LimitExceeded);
    EXPECT_THAT(refused.error().message, HasSubstr("4096"));
    book.forget(1);
    EXPECT_EQ(book.size(), 0u);
    EXPECT_TRUE(book.add(1, {1, 1}));
}

TEST(WatchBook, NobodyLetsGoWhatIsAnothers) {
    WatchBook book(100);
    const auto first = book.add(1, {7, 1}).value(), second = book.add(2, {7, 1}).value();
    EXPECT_GT(first, 100u);
    EXPECT_FALSE(book.remove(2, first));
    EXPECT_FALSE(book.remove(1, second + 1));
    book.forget(1);
    EXPECT_FALSE(book.has(first));
    EXPECT_TRUE(book.has(second));
    EXPECT_TRUE(book.remove(2, second));
    EXPECT_FALSE(book.remove(2, second)) << "once";
}

}  // namespace
}  // namespace recap::launcher
