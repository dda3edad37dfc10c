// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/target.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

namespace recap::docker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::Not;
using testing::Pair;

Container web() {
    Container container;
    container.id = std::string(64, 'a');
    container.name = "web";
    container.image = "nginx:1";
    container.runtime = "runc";
    container.status = "running";
    container.pid = ::getpid();
    container.running = true;
    return container;
}

TEST(DockerTarget, HasTheNamesThatComposeGives) {
    Container container = web();
    EXPECT_THAT(describe(container, false).aliases, IsEmpty());
    container.labels = {{"com.docker.compose.project", "shop"}, {"com.docker.compose.service", "web"}};
    EXPECT_THAT(describe(container, false).aliases, ElementsAre("shop/web"));
    container.labels["com.docker.compose.container-number"] = "2";
    EXPECT_THAT(describe(container, false).aliases, ElementsAre("shop/web", "shop/web/2"));
    container.labels.erase("com.docker.compose.project");
    EXPECT_THAT(describe(container, false).aliases, IsEmpty());
}

TEST(DockerTarget, HasHealthRestartsAndUserNamespace) {
    Container container = web();
    container.restarts = 2;
    EXPECT_THAT(describe(container, false).details, ElementsAre(Pair("restarts", "2"), Pair("user-namespace", "host")));
    EXPECT_THAT(describe(container, true).details, Contains(Pair("user-namespace", "remapped")));
    container.userNamespace = "host";
    EXPECT_THAT(describe(container, true).details, Contains(Pair("user-namespace", "host")));
    container.userNamespace = "keep-id";
    container.health = "starting";
    EXPECT_THAT(describe(container, false).details, Contains(Pair("user-namespace", "keep-id")));
    EXPECT_THAT(describe(container, false).details, Contains(Pair("health", "starting")));
}

TEST(DockerTarget, IsPausedWhereItsContainerIs) {
    Container container = web();
    EXPECT_EQ(describe(container, false).state, plugin::TargetState::Running);
    container.paused = true;
    EXPECT_EQ(describe(container, false).state, plugin::TargetState::Paused);
}

// The engine's pid may be another process's by now.
TEST(DockerTarget, IsNoneWhereTheProcessIsInAnotherCgroup) {
    auto target = describe(web(), false);
    EXPECT_FALSE(pin(target));
    target.pid = 0x7fffffff;
    EXPECT_FALSE(pin(target));
}

TEST(DockerTarget, ThatDoesNotRunSaysWhy) {
    Container container = web();
    container.status = "exited";
    container.exitCode = 137;
    EXPECT_EQ(whyNotRunning(container), "container 'web' is not running (exited, status 137)");
    container.status = "created";
    EXPECT_EQ(whyNotRunning(container), "container 'web' is not running (created)");
    container.status = "";
    EXPECT_EQ(whyNotRunning(container), "container 'web' is not running (no state)");
}

}  // namespace
}  // namespace recap::docker
