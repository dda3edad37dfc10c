// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/socket.hpp"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/engines/fake_docker.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wait.hpp"

namespace recap::docker {
namespace {

using test::TempDir;
using testing::HasSubstr;

TEST(DockerSocket, IsAPathInAnEndpoint) {
    EXPECT_EQ(*socketPath("unix:///run/docker.sock"), "/run/docker.sock");
    for (const std::string& wrong : {std::string(), std::string("/run/docker.sock"), std::string("tcp://127.0.0.1:2375"),
                                     std::string("unix://run/docker.sock"), std::string("unix:///"), "unix:///" + std::string(200, 'x')}) {
        ASSERT_FALSE(socketPath(wrong)) << wrong;
        EXPECT_EQ(socketPath(wrong).error().code, Errc::InvalidArgument);
        EXPECT_THAT(socketPath(wrong).error().message, HasSubstr("'" + wrong + "'"));
    }
}

TEST(DockerSocket, SaysWhetherSomebodyListens) {
    const TempDir folder;
    const Socket socket(folder.path() / "engine.sock");
    EXPECT_EQ(socket.probe().error().code, Errc::NotFound);
    EXPECT_THAT(socket.probe().error().message, HasSubstr("no socket at " + socket.path().string()));
    {
        const test::FakeDocker engine(socket.path());
        EXPECT_TRUE(socket.probe());
    }
    const UniqueFd bound(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket.path().string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(bound.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(socket.probe().error().code, Errc::NotFound);
    EXPECT_THAT(socket.probe().error().message, HasSubstr("nobody listens"));
}

TEST(DockerSocket, ItsComingIsNoticedFromTheNearestFolderThatExists) {
    const TempDir folder;
    Socket socket(folder.path() / "run/engine/engine.sock");
    socket.look();
    test::writeFile(folder.path() / "else", "");
    ASSERT_TRUE(test::waitReadable(socket.fd(), test::Deadline(test::kPatience)));
    EXPECT_FALSE(socket.hasCome()) << "that is another's";
    std::filesystem::create_directories(folder.path() / "run/engine");
    ASSERT_TRUE(test::waitReadable(socket.fd(), test::Deadline(test::kPatience)));
    EXPECT_TRUE(socket.hasCome());
    socket.look();
    const test::FakeDocker engine(socket.path());
    ASSERT_TRUE(test::waitReadable(socket.fd(), test::Deadline(test::kPatience)));
    EXPECT_TRUE(socket.hasCome());
}

TEST(DockerBackoff, GrowsToItsLongestAndStartsAnew) {
    Backoff backoff;
    EXPECT_LE(backoff.next().count(), 250);
    for (int i = 0; i < 20; ++i) backoff.next();
    for (int i = 0; i < 50; ++i) {
        const auto wait = backoff.next().count();
        EXPECT_TRUE(wait >= 15'000 && wait <= 30'000) << wait;
    }
    backoff.reset();
    EXPECT_LE(backoff.next().count(), 250);
}

}  // namespace
}  // namespace recap::docker
