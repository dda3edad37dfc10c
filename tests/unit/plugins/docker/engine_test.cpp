// SPDX-License-Identifier: Apache-2.0
// What an engine may answer, and what becomes of it: a value or an error, within the deadline.
#include "plugins/docker/engine.hpp"

#include <gmock/gmock.h>

#include "tests/support/engines/fake_docker.hpp"
#include "tests/support/wait.hpp"

namespace recap::docker {
namespace {

using test::FakeContainer;
using test::fakeId;
using test::FakeReply;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr EngineTimes kShort{
    .answer = std::chrono::seconds(1), .inspect = std::chrono::seconds(1), .silence = std::chrono::milliseconds(300)};

class DockerEngine : public testing::Test {
protected:
    test::TempDir folder_;
    test::FakeDocker fake_{folder_.path() / "engine.sock"};
    Engine engine_{(folder_.path() / "engine.sock").string(), {}};
    Engine hasty_{(folder_.path() / "engine.sock").string(), {}, kShort};
};

TEST(DockerVersions, TheNewestThatBothKnowIsSpoken) {
    const auto spoken = [](const std::string& version) {
        const auto dialect = negotiate({.headers = {{"api-version", version}}});
        return dialect ? dialect->version : dialect.error().message;
    };
    EXPECT_EQ(spoken("1.41"), "1.41");
    EXPECT_EQ(spoken("1.24"), "1.24");
    EXPECT_EQ(spoken("1.99"), "1.51");
    EXPECT_EQ(spoken("2.0"), "1.51");
    for (const char* wrong : {"", "1", "1.", "x.y", "1.41/../..", "-1.4", "1.41 "})
        EXPECT_THAT(spoken(wrong), HasSubstr("which is none")) << wrong;
    EXPECT_THAT(negotiate({}).error().message, HasSubstr("no Docker Engine"));
    EXPECT_EQ(negotiate({.headers = {{"api-version", "1.41"}, {"libpod-api-version", "4.3.1"}}})->libpod, "4.3.1");
    EXPECT_EQ(negotiate({.headers = {{"api-version", "1.41"}, {"libpod-api-version", "4/../x"}}})->libpod, "");
}

TEST_F(DockerEngine, ListsAndInspectsInTheVersionThatWasAgreed) {
    fake_.put({.id = fakeId(1), .name = "web", .pid = 4242, .labels = {{"app", "web"}}});
    ASSERT_TRUE(engine_.connect());
    EXPECT_THAT(*engine_.list(), ElementsAre(fakeId(1)));
    EXPECT_EQ(engine_.inspect("web")->pid, 4242);
    EXPECT_THAT(fake_.requests(), ElementsAre("/_ping", "/v1.41/info", "/v1.41/containers/json", "/v1.41/containers/web/json"));
    EXPECT_EQ(fake_.connections(), 1u) << "a connection is kept";
}

TEST_F(DockerEngine, OfPodmanTheRuntimeIsAskedForOnce) {
    fake_.answer("/_ping", FakeReply{.body = "OK", .headers = {{"API-Version", "1.41"}, {"Libpod-API-Version", "4.3.1"}}});
    fake_.put({.id = fakeId(1), .name = "web", .pid = 4242});
    fake_.answer("/libpod/containers/" + fakeId(1) + "/json", FakeReply{.body = R"({"OCIRuntime":"crun"})"});
    ASSERT_TRUE(engine_.connect());
    EXPECT_EQ(engine_.inspect("web")->runtime, "crun");
    EXPECT_EQ(engine_.inspect(fakeId(1))->runtime, "crun");
    EXPECT_EQ(fake_.countOf("/v4.3.1/libpod/"), 1u);
}

TEST_F(DockerEngine, ChunksAreOneAnswer) {
    fake_.answer("/containers/json", FakeReply{.body = R"([{"Id":")" + fakeId(7) + R"("}])" + std::string(5000, ' '), .chunked = true});
    ASSERT_TRUE(engine_.connect());
    EXPECT_THAT(*engine_.list(), ElementsAre(fakeId(7)));
}

TEST_F(DockerEngine, AnErrorIsSaidInItsOwnWords) {
    fake_.answer("/containers/json", FakeReply{.status = 400, .body = R"({"message":"client version 1.41 is too old"})"});
    fake_.answer("/containers/a/json", FakeReply{.status = 500, .body = std::string(100'000, 'x')});
    ASSERT_TRUE(engine_.connect());
    EXPECT_EQ(engine_.list().error().message, "GET /containers/json is answered with status 400: client version 1.41 is too old");
    EXPECT_EQ(engine_.inspect("a").error().message, "GET /containers/a/json is answered with status 500");
    EXPECT_EQ(engine_.inspect("none").error().code, Errc::NotFound);
}

TEST_F(DockerEngine, AnAnswerThatNeverComesHasADeadline) {
    fake_.answer("/_ping", FakeReply{.silent = true});
    const auto connected = hasty_.connect();
    ASSERT_FALSE(connected);
    EXPECT_EQ(connected.error().code, Errc::Timeout);
    EXPECT_EQ(connected.error().message, "no whole answer to GET /_ping within 1s");
}

TEST_F(DockerEngine, AnAnswerWithoutEndIsCut) {
    ASSERT_TRUE(engine_.connect());
    fake_.answer("/containers/none/json", FakeReply{.body = std::string(100'000, ' '), .endless = true});
    EXPECT_THAT(engine_.inspect("none").error().message, HasSubstr("the answer to GET /containers/none/json is longer than"));
    fake_.answer("/containers/a/json", FakeReply{.body = std::string(3'000'000, ' ')});
    EXPECT_THAT(engine_.inspect("a").error().message, HasSubstr("is longer than 1048576 bytes"));
    std::string head = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 3000; ++i) head += "X-Header-" + std::to_string(i) + ": " + std::string(50, 'x') + "\r\n";
    fake_.answer("/containers/b/json", FakeReply{.raw = head});
    EXPECT_THAT(engine_.inspect("b").error().message, HasSubstr("the head of the answer"));
}

TEST_F(DockerEngine, WhatIsNoHttpOrNoJsonIsAnError) {
    ASSERT_TRUE(engine_.connect());
    for (const char* raw :
         {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 ", "\r\n", "HTTP/9.9 200 OK\r\n\r\n"}) {
        fake_.answer("/containers/json", FakeReply{.raw = raw});
        const auto ids = hasty_.list();
        ASSERT_FALSE(ids) << raw;
        EXPECT_THAT(ids.error().message, HasSubstr("/containers/json")) << raw;
    }
    for (const char* body : {"", "{", "\xff\xfe", "[{\"Id\":3}]"}) {
        fake_.answer("/containers/json", FakeReply{.body = body});
        EXPECT_THAT(engine_.list().error().message, StartsWith("a list of containers"));
    }
}

TEST_F(DockerEngine, WhoHasToEndIsNotHeldUp) {
    fake_.answer("/_ping", FakeReply{.silent = true});
    int turns = 0;
    Engine ending((folder_.path() / "engine.sock").string(), {-1, [&] { return ++turns < 2; }}, kShort);
    EXPECT_THAT(ending.connect().error().message, HasSubstr("GET /_ping"));
}

TEST_F(DockerEngine, AnImageIsStreamedAndNothingElseIs) {
    const std::string archive(300'000, 'a');
    fake_.answer("/images/app:v1/json", FakeReply{.body = "{}"});
    fake_.answer("/images/app:v1/get", FakeReply{.body = archive, .chunked = true});
    fake_.answer("/images/cut/json", FakeReply{.body = "{}"});
    fake_.answer("/images/cut/get", FakeReply{.raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"});
    fake_.answer("/images/bad/json", FakeReply{.body = "{}"});
    fake_.answer("/images/bad/get", FakeReply{.status = 500, .body = R"({"message":"out of space"})"});
    fake_.answer("/images/hung/json", FakeReply{.body = "{}"});
    fake_.answer("/images/hung/get", FakeReply{.silent = true});
    std::string got;
    const auto take = [&](std::string_view bytes) { return got.append(bytes), Result<void>(); };
    ASSERT_TRUE(engine_.connect());
    ASSERT_TRUE(hasty_.connect());
    EXPECT_TRUE(engine_.exportImage("app:v1", take));
    EXPECT_EQ(got, archive);
    EXPECT_EQ(engine_.exportImage("none:v1", take).error().message, "no image 'none:v1'");
    EXPECT_EQ(engine_.exportImage("none:v1", take).error().code, Errc::NotFound);
    EXPECT_EQ(engine_.exportImage("cut", take).error().code, Errc::Unavailable);
    EXPECT_EQ(hasty_.exportImage("hung", take).error().message, "GET /images/hung/get was given up");
    got.clear();
    EXPECT_THAT(engine_.exportImage("bad", take).error().message, HasSubstr("out of space"));
    EXPECT_EQ(got, "");
    EXPECT_THAT(engine_.exportImage("app:v1", [](auto) { return fail(Errc::Io, "nobody reads"); }).error().message, "nobody reads");
}

TEST(DockerNames, AreWhatMayBePutIntoAPath) {
    for (const char* right : {"app", "docker.io/library/app:v1.0", "localhost:5000/a/b@sha256:00ff", "3f2a"})
        EXPECT_TRUE(isReference(right)) << right;
    for (const char* wrong : {"", "../x", "a/../b", "a?x=1", "a#b", "a b", "a%2f", "/a", "a//b", "a\n"})
        EXPECT_FALSE(isReference(wrong)) << wrong;
    EXPECT_TRUE(isName("web_1.x-2"));
    for (const char* wrong : {"", "shop/web", "web?all=1", "..", "-x", "ä"}) EXPECT_FALSE(isName(wrong)) << wrong;
    EXPECT_FALSE(isName(std::string(256, 'a')));
}

}  // namespace
}  // namespace recap::docker
