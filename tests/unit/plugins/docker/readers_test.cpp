// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/readers.hpp"

#include <gmock/gmock.h>

namespace recap::docker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const std::string kId(64, 'a');
const std::string kOther(64, 'b');

std::string container(const std::string& state, const std::string& more = {}) {
    return R"({"Id":")" + kId + R"(","Name":"/web","State":{)" + state + R"(},"HostConfig":{"Runtime":"runc","UsernsMode":"host"},)" +
           R"("Config":{"Image":"nginx:1","Labels":{"app":"web","n":1}},"RestartCount":3)" + more + "}";
}

TEST(DockerList, IsTheIdsAndNothingElse) {
    const auto ids =
        readList(R"([{"Id":")" + kId + R"(","Names":["/web"],"HostConfig":{"Id":"x"}},{"Ports":[{"Id":1}],"Id":")" + kOther + R"("}])");
    ASSERT_TRUE(ids) << ids.error().message;
    EXPECT_THAT(*ids, ElementsAre(kId, kOther));
    EXPECT_THAT(*readList("[]"), IsEmpty());
}

TEST(DockerList, IsRefusedWholeWhereAnythingIsWrong) {
    for (const std::string& wrong :
         {std::string(), std::string("{}"), std::string("7"), std::string("null"), std::string("[{\"Id\":\"") + kId,
          std::string(R"([{"Id":"short"}])"), std::string(R"([{"Names":[]}])"), std::string(R"([{"Id":7}])"), std::string(100'000, '[')}) {
        const auto ids = readList(wrong);
        ASSERT_FALSE(ids) << wrong.substr(0, 40);
        EXPECT_EQ(ids.error().code, Errc::Unavailable);
    }
}

TEST(DockerList, HasAnEnd) {
    std::string many = "[";
    for (std::size_t i = 0; i <= kMaxContainers; ++i) many += (i == 0 ? "" : ",") + (R"({"Id":")" + kId + "\"}");
    EXPECT_THAT(readList(many + "]").error().message, HasSubstr("more than 8192"));
}

TEST(DockerContainer, IsReadWhole) {
    const auto read = readContainer(container(
        R"("Status":"running","Running":true,"Paused":false,"Restarting":false,"Pid":4242,"ExitCode":0,"Health":{"Status":"healthy"})"));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->id, kId);
    EXPECT_EQ(read->name, "web");
    EXPECT_EQ(read->image, "nginx:1");
    EXPECT_EQ(read->runtime, "runc");
    EXPECT_EQ(read->userNamespace, "host");
    EXPECT_EQ(read->health, "healthy");
    EXPECT_THAT(read->labels, ElementsAre(Pair("app", "web")));
    EXPECT_EQ(read->restarts, 3u);
    EXPECT_EQ(read->pid, 4242);
    EXPECT_TRUE(read->running);
    EXPECT_FALSE(read->paused);
}

TEST(DockerContainer, RunsOrIsPausedOrNeither) {
    const auto paused = readContainer(container(R"("Status":"paused","Running":true,"Paused":true,"Pid":7)"));
    EXPECT_TRUE(paused->running && paused->paused);
    const auto asPodmanSays = readContainer(container(R"("Status":"paused","Running":false,"Pid":7)"));
    EXPECT_TRUE(asPodmanSays->running && asPodmanSays->paused);
    for (const char* state :
         {R"("Status":"restarting","Running":true,"Restarting":true,"Pid":0)", R"("Status":"exited","Running":false,"Pid":0)",
          R"("Status":"running","Running":true,"Pid":0)", R"("Status":"running","Running":true,"Pid":-1)",
          R"("Status":"running","Running":true,"Pid":4294967297)", R"("Status":"running","Running":true,"Pid":"7")", ""})
        EXPECT_FALSE(readContainer(container(state))->running) << state;
    EXPECT_EQ(readContainer(container(R"("Health":{"Status":"none"})"))->health, "");
}

TEST(DockerContainer, KeepsNoMoreThanItsCaps) {
    std::string labels;
    for (int i = 0; i < 400; ++i) labels += (i == 0 ? "" : ",") + ("\"" + std::to_string(i) + "\":\"x\"");
    const std::string head = R"({"Id":")" + kId + R"(","Name":")" + std::string(5000, 'n') + R"(","Config":{"Labels":{)";
    const auto many = readContainer(head + labels + "}}}");
    EXPECT_EQ(many->labels.size(), kMaxLabels);
    EXPECT_EQ(many->name.size(), 1024u);
    EXPECT_THAT(readContainer(head + "\"large\":\"" + std::string(100'000, 'x') + "\"}}}")->labels, IsEmpty());
}

TEST(DockerContainer, WithoutAnIdIsNone) {
    for (const char* wrong : {"", "[]", "{}", R"({"Id":"../x"})", "{\"Id\":", "null", "\"x\""}) {
        const auto read = readContainer(wrong);
        ASSERT_FALSE(read) << wrong;
        EXPECT_THAT(read.error().message, HasSubstr("without an id"));
    }
}

TEST(DockerEvent, IsReadAsOldAndNewEnginesSayIt) {
    const auto now = readEvent(R"({"Type":"container","Action":"health_status: healthy","Actor":{"ID":")" + kId + R"("},"timeNano":17})");
    ASSERT_TRUE(now);
    EXPECT_EQ(*now, (Event{kId, "health_status: healthy", 17}));
    const auto old = readEvent(R"({"status":"die","id":")" + kId + R"(","timeNano":18})");
    ASSERT_TRUE(old);
    EXPECT_EQ(*old, (Event{kId, "die", 18}));
}

TEST(DockerEvent, AboutAnythingElseIsNone) {
    const std::string actor = R"("Actor":{"ID":")" + kId + "\"}";
    for (const std::string& other :
         {std::string(), std::string("[]"), std::string("{"), R"({"Type":"network","Action":"start",)" + actor + "}",
          R"({"Type":"container","Action":"",)" + actor + "}",
          std::string(R"({"Type":"container","Action":"start","Actor":{"ID":"web"}})")})
        EXPECT_FALSE(readEvent(other)) << other;
    EXPECT_EQ(readEvent(R"({"Type":"container","Action":"x","timeNano":-5,)" + actor + "}")->time, 0u);
}

TEST(DockerAnswers, SayRuntimeUserNamespacesAndWhy) {
    EXPECT_EQ(readOciRuntime(R"({"OCIRuntime":"crun","Config":{"OCIRuntime":"x"}})"), "crun");
    EXPECT_EQ(readOciRuntime("[]"), "");
    EXPECT_TRUE(readUserNamespaces(R"({"SecurityOptions":["name=seccomp,profile=default","name=userns"]})"));
    EXPECT_FALSE(readUserNamespaces(R"({"SecurityOptions":["name=seccomp"]})"));
    EXPECT_FALSE(readUserNamespaces(R"({"SecurityOptions":"name=userns"})"));
    EXPECT_EQ(readMessage(R"({"message":"no such container\nat all"})"), "no such container");
    EXPECT_EQ(readMessage("<html>"), "");
    EXPECT_EQ(readMessage(R"({"message":")" + std::string(1000, 'x') + "\"}").size(), 200u);
}

}  // namespace
}  // namespace recap::docker
