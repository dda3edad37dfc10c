// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/plugins/containerd/fake_containerd.hpp"
#include "tests/unit/plugins/containerd/observed_backend.hpp"

namespace recap::test {
namespace {

// The backend has had its looks: what comes now without an event is found by searching only.
class ContainerdFind : public testing::Test {
protected:
    ContainerdFind() {
        fake_.addNamespace("one");
        fake_.addNamespace("k8s.io");
        backend_.emplace(testOptions(socket_));
        backend_->until([&] { return backend_->snapshots() >= 2; });
    }
    FakeContainer running() const { return runningAs(process_.pid()); }

    TempDir folder_{"recap-fake"};
    std::string socket_ = folder_.path() / "containerd.sock";
    Child process_{Command{.argv = {"sleep", "86400"}}};
    FakeContainerd fake_{socket_};
    std::optional<ObservedBackend> backend_;
};

TEST_F(ContainerdFind, ByIdInAnyOrOneNamespace) {
    fake_.putSilently({"one", "app"}, running());
    fake_.putSilently({"one", "more"}, running());
    EXPECT_EQ(backend_->find("app"), "");
    EXPECT_TRUE(backend_->told("one/app"));
    EXPECT_EQ(backend_->find("one/more"), "");
    EXPECT_TRUE(backend_->told("one/more"));
}

TEST_F(ContainerdFind, ByTheNamesThatPeopleUse) {
    auto nerdctl = running();
    nerdctl.labels = {{"nerdctl/name", "web"}, {"nerdctl/namespace", "one"}};
    fake_.putSilently({"one", "aaa"}, nerdctl);
    auto inPod = running();
    inPod.labels = {
        {"io.kubernetes.pod.name", "web-0"}, {"io.kubernetes.pod.namespace", "shop"}, {"io.kubernetes.container.name", "nginx"}};
    fake_.putSilently({"k8s.io", "bbb"}, inPod);
    EXPECT_EQ(backend_->find("web"), "");
    EXPECT_TRUE(backend_->told("one/aaa"));
    EXPECT_EQ(backend_->find("shop/web-0/nginx"), "");
    EXPECT_TRUE(backend_->told("k8s.io/bbb"));
    EXPECT_EQ(backend_->find("web-0/nginx"), "");
}

TEST_F(ContainerdFind, WhatDoesNotRunIsSaidWithItsState) {
    auto stopped = running();
    stopped.status = 3;
    fake_.putSilently({"one", "app"}, stopped);
    EXPECT_EQ(backend_->find("app"), "container 'app' in namespace 'one' is not running (stopped)");
    EXPECT_EQ(backend_->code, plugin::Code::NotFound);
    stopped.status = 0;
    fake_.putSilently({"one", "app"}, stopped);
    EXPECT_EQ(backend_->find("one/app"), "container 'app' in namespace 'one' is not running (no task)");
}

TEST_F(ContainerdFind, WhatIsNotThereIsNamed) {
    EXPECT_EQ(backend_->find("nothing"), "no container 'nothing' in containerd at '" + socket_ + "'");
    EXPECT_EQ(backend_->code, plugin::Code::NotFound);
    EXPECT_EQ(backend_->find("a\"b"), "no container 'a\"b' in containerd at '" + socket_ + "'");
}

TEST_F(ContainerdFind, AnEngineThatIsAwayIsSaid) {
    fake_.stop();
    EXPECT_EQ(backend_->find("app"), "no socket at '" + socket_ + "'");
    EXPECT_EQ(backend_->code, plugin::Code::Unavailable);
}

}  // namespace
}  // namespace recap::test
