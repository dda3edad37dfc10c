// SPDX-License-Identifier: Apache-2.0
// What the backend makes of what a sound containerd tells.
#include <gmock/gmock.h>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/plugins/containerd/fake_containerd.hpp"
#include "tests/unit/plugins/containerd/observed_backend.hpp"

#include <containerd_api/event.pb.h>

namespace recap::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

constexpr int kCreated = 1;
constexpr int kRunning = 2;
constexpr int kStopped = 3;
constexpr int kPaused = 4;

class ContainerdFollow : public testing::Test {
protected:
    FakeContainer running() const { return runningAs(process_.pid()); }
    static FakeContainer with(FakeContainer container, int status) {
        container.status = status;
        return container;
    }
    containerd::Options options() const { return testOptions(socket_); }

    TempDir folder_{"recap-fake"};
    std::string socket_ = folder_.path() / "containerd.sock";
    Child process_{Command{.argv = {"sleep", "86400"}}};
    FakeContainerd fake_{socket_};
};

TEST_F(ContainerdFollow, TheFirstPictureHasWhatRunsInEveryNamespace) {
    fake_.putSilently({"one", "app"}, running());
    fake_.putSilently({"two", "app"}, running());
    fake_.putSilently({"two", "created"}, with(running(), kCreated));
    fake_.putSilently({"two", "stopped"}, with(running(), kStopped));
    fake_.putSilently({"two", "no-task"}, with(running(), 0));
    ObservedBackend backend(options());
    ASSERT_TRUE(backend.untilReady()) << backend.state();
    EXPECT_TRUE(backend.told("one/app"));
    EXPECT_TRUE(backend.told("two/app"));
    EXPECT_EQ(backend.count(), 2u);
}

TEST_F(ContainerdFollow, StartsEndsAndPausesAreFollowed) {
    ObservedBackend backend(options());
    ASSERT_TRUE(backend.untilReady()) << backend.state();
    fake_.put({"one", "late"}, running());
    ASSERT_TRUE(backend.untilTold("one/late"));
    fake_.setStatus({"one", "late"}, kPaused, "/tasks/paused", "containerd.events.TaskPaused");
    EXPECT_TRUE(backend.until([&] { return backend.told("one/late")->state == plugin::TargetState::Paused; }));
    fake_.setStatus({"one", "late"}, kRunning, "/tasks/resumed", "containerd.events.TaskResumed");
    EXPECT_TRUE(backend.until([&] { return backend.told("one/late")->state == plugin::TargetState::Running; }));
    fake_.end({"one", "late"});
    EXPECT_TRUE(backend.untilGone("one/late"));
}

TEST_F(ContainerdFollow, TheEndOfAnEarlierLifeIsNotThisOnes) {
    fake_.putSilently({"one", "app"}, running());
    ObservedBackend backend(options());
    ASSERT_TRUE(backend.untilTold("one/app"));
    ::containerd::events::TaskExit exit;
    exit.set_container_id("app");
    exit.set_id("app");
    exit.set_pid(1);
    fake_.send({"one", "/tasks/exit", "containerd.events.TaskExit", exit.SerializeAsString()});
    fake_.put({"one", "later"}, running());
    ASSERT_TRUE(backend.untilTold("one/later"));
    EXPECT_TRUE(backend.told("one/app"));
}

TEST_F(ContainerdFollow, ARestartIsTheSameIdInANewLife) {
    fake_.putSilently({"one", "app"}, running());
    ObservedBackend backend(options());
    ASSERT_TRUE(backend.untilTold("one/app"));
    const Child next(Command{.argv = {"sleep", "86400"}});
    fake_.end({"one", "app"});
    fake_.put({"one", "app"}, runningAs(next.pid()));
    EXPECT_TRUE(backend.until([&] { return backend.told("one/app") && backend.told("one/app")->pid == next.pid(); }));
}

TEST_F(ContainerdFollow, WhatNoEventToldOfIsSeenByALook) {
    ObservedBackend backend([&] {
        auto all = options();
        all.resync = std::chrono::milliseconds(100);
        return all;
    }());
    ASSERT_TRUE(backend.untilReady()) << backend.state();
    fake_.putSilently({"one", "silent"}, running());
    EXPECT_TRUE(backend.untilTold("one/silent"));
    fake_.drop({"one", "silent"});
    EXPECT_TRUE(backend.untilGone("one/silent"));
}

TEST_F(ContainerdFollow, ANewNamespaceIsNoticed) {
    ObservedBackend backend(options());
    ASSERT_TRUE(backend.until([&] { return backend.snapshots() >= 2; })) << "the second look";
    fake_.putSilently({"new", "app"}, running());
    EXPECT_TRUE(backend.untilTold("new/app"));
}

TEST_F(ContainerdFollow, NamespacesCanBeChosen) {
    fake_.putSilently({"one", "app"}, running());
    fake_.putSilently({"two", "app"}, running());
    auto some = options();
    some.namespaces = {"two"};
    ObservedBackend backend(some);
    ASSERT_TRUE(backend.untilReady()) << backend.state();
    EXPECT_FALSE(backend.told("one/app"));
    EXPECT_TRUE(backend.told("two/app"));
    fake_.put({"one", "late"}, running());
    fake_.put({"two", "late"}, running());
    ASSERT_TRUE(backend.untilTold("two/late"));
    EXPECT_FALSE(backend.told("one/late"));
}

TEST_F(ContainerdFollow, AContainerHasItsPodsLabelsHoweverItIsSeen) {
    const std::map<std::string, std::string> pod{
        {"io.kubernetes.pod.name", "web-0"}, {"io.kubernetes.pod.namespace", "shop"}, {"io.kubernetes.pod.uid", "7-7"}};
    auto sandbox = running();
    sandbox.labels = pod;
    sandbox.labels["io.cri-containerd.kind"] = "sandbox";
    sandbox.labels["app"] = "web";
    auto inPod = running();
    inPod.labels = pod;
    inPod.labels["io.kubernetes.container.name"] = "nginx";
    fake_.putSilently({"k8s.io", "sandbox"}, sandbox);
    fake_.putSilently({"k8s.io", "first"}, inPod);
    ObservedBackend backend(options());
    ASSERT_TRUE(backend.untilTold("k8s.io/first"));
    fake_.put({"k8s.io", "second"}, inPod);
    ASSERT_TRUE(backend.untilTold("k8s.io/second"));
    for (const char* id : {"k8s.io/first", "k8s.io/second"}) {
        EXPECT_EQ(backend.told(id)->name, "web-0/nginx");
        EXPECT_THAT(backend.told(id)->labels, Contains(Pair("app", "web")));
    }
    EXPECT_FALSE(backend.told("k8s.io/sandbox"));
}

TEST(ContainerdSettings, AreRefusedByName) {
    const auto said = [](std::vector<recap_pair> pairs) -> std::string {
        plugin::Settings settings("containerd", pairs);
        try {
            static_cast<void>(containerd::readOptions(settings));
            return "";
        } catch (const plugin::Error& error) {
            return error.what();
        }
    };
    const auto pair = [](std::string_view key, std::string_view value) {
        return recap_pair{{key.data(), key.size()}, {value.data(), value.size()}};
    };
    EXPECT_EQ(said({}), "");
    EXPECT_EQ(said({pair("endpoint", "unix:///run/x.sock"), pair("namespaces", "k8s.io")}), "");
    EXPECT_THAT(said({pair("endpoint", "tcp://localhost:1")}), HasSubstr("'endpoint' is 'tcp://localhost:1'"));
    EXPECT_THAT(said({pair("namespaces", "a/b")}), HasSubstr("'namespaces' has 'a/b'"));
}

}  // namespace
}  // namespace recap::test
