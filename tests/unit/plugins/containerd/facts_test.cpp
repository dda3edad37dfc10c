// SPDX-License-Identifier: Apache-2.0
#include "plugins/containerd/facts.hpp"

#include <gmock/gmock.h>
#include <unistd.h>
#include <recap/proc.hpp>

#include "tests/support/command.hpp"

namespace recap::containerd {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Pair;

// A container in whose cgroup this test is, and its task.
class ContainerdFacts : public testing::Test {
protected:
    ContainerdFacts() {
        container_.nameSpace = "k8s.io";
        container_.id = "3f2";
        container_.image = "docker.io/library/nginx:1";
        container_.runtime = "runc";
        container_.spec.cgroupsPath = plugin::cgroupOf(::getpid());
    }
    Container container_;
    Task task_{Task::Status::Running, "3f2", ::getpid()};
};

TEST_F(ContainerdFacts, ATargetIsWhole) {
    const auto target = targetOf(container_, task_, {});
    ASSERT_TRUE(target);
    EXPECT_EQ(target->id, "k8s.io/3f2");
    EXPECT_EQ(target->name, "3f2");
    EXPECT_TRUE(target->aliases.empty());
    EXPECT_EQ(target->image, "docker.io/library/nginx:1");
    EXPECT_EQ(target->runtime, "runc");
    EXPECT_EQ(target->state, plugin::TargetState::Running);
    EXPECT_EQ(target->pid, ::getpid());
    EXPECT_EQ(target->startTime, plugin::startTimeOf(::getpid()));
    EXPECT_EQ(target->cgroup, plugin::cgroupOf(::getpid()));
    EXPECT_THAT(target->details, Contains(Pair("user-namespace", "host")));
}

TEST_F(ContainerdFacts, KubernetesNamesAndThePodsLabels) {
    container_.labels = {{"io.kubernetes.pod.name", "web-0"},       {"io.kubernetes.pod.namespace", "shop"},
                         {"io.kubernetes.container.name", "nginx"}, {"io.kubernetes.pod.uid", "7-7"},
                         {"io.cri-containerd.kind", "container"},   {"tier", "own"}};
    const auto target = targetOf(container_, task_, {{"app", "web"}, {"tier", "pod"}, {"io.cri-containerd.kind", "sandbox"}});
    ASSERT_TRUE(target);
    EXPECT_EQ(target->name, "web-0/nginx");
    EXPECT_THAT(target->aliases, ElementsAre("shop/web-0/nginx", "3f2"));
    EXPECT_THAT(target->labels, Contains(Pair("app", "web")));
    EXPECT_THAT(target->labels, Contains(Pair("tier", "own")));
    EXPECT_THAT(target->labels, Contains(Pair("io.cri-containerd.kind", "container")));
}

TEST_F(ContainerdFacts, NerdctlsNameIsTheName) {
    container_.nameSpace = "default";
    container_.labels = {{"nerdctl/name", "web"}};
    const auto target = targetOf(container_, task_, {});
    ASSERT_TRUE(target);
    EXPECT_EQ(target->name, "web");
    EXPECT_THAT(target->aliases, ElementsAre("default/web", "3f2"));
}

TEST_F(ContainerdFacts, OnlyWhatRunsOrIsPausedIsATarget) {
    for (const auto status : {Task::Status::Unknown, Task::Status::Created, Task::Status::Stopped})
        EXPECT_FALSE(targetOf(container_, Task{status, "3f2", ::getpid()}, {}));
    for (const auto status : {Task::Status::Paused, Task::Status::Pausing}) {
        const auto target = targetOf(container_, Task{status, "3f2", ::getpid()}, {});
        ASSERT_TRUE(target);
        EXPECT_EQ(target->state, plugin::TargetState::Paused);
    }
}

TEST_F(ContainerdFacts, ASandboxIsNone) {
    container_.labels = {{"io.cri-containerd.kind", "sandbox"}};
    EXPECT_FALSE(targetOf(container_, task_, {}));
}

TEST_F(ContainerdFacts, APidOfAnotherCgroupOrOfNobodyIsNotTold) {
    container_.spec.cgroupsPath = "/another/container";
    EXPECT_FALSE(targetOf(container_, task_, {}));
    container_.spec.cgroupsPath = plugin::cgroupOf(::getpid());
    pid_t gone = 0;
    {
        const test::Child child(test::Command{.argv = {"sleep", "86400"}});
        gone = child.pid();
    }
    EXPECT_FALSE(targetOf(container_, Task{Task::Status::Running, "3f2", gone}, {}));
    EXPECT_FALSE(targetOf(container_, Task{Task::Status::Running, "3f2", 0}, {}));
}

}  // namespace
}  // namespace recap::containerd
