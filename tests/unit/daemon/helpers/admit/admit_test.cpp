// SPDX-License-Identifier: Apache-2.0
// recap-admit against a socket that answers as the launcher's would; with the launcher itself it is a system test's.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/launcher/codec.hpp"
#include "sdk/base/unique_fd.hpp"
#include "tests/support/command.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;

const std::string kHex(64, 'a');

class Admit : public testing::Test {
protected:
    std::string path() const { return folder_.path() / "admit.sock"; }
    std::vector<std::string> argv(const std::string& digest) const { return {binDir() / "recap-admit", "--socket", path(), digest}; }
    void listen() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path().copy(address.sun_path, sizeof address.sun_path - 1);
        listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ASSERT_EQ(::listen(listener_.get(), 1), 0);
    }
    // Takes one request and answers it with the bytes of `answer`; empty: hangs up.
    launcher::ImageRef serve(const std::string& answer) {
        const UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        std::string bytes(4096, '\0');
        const auto got = ::recv(peer.get(), bytes.data(), bytes.size(), 0);
        bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        const auto header = launcher::decodeHeader(bytes);
        EXPECT_TRUE(header) << header.error().message;
        EXPECT_EQ(header->verb, launcher::Verb::Admit);
        if (!answer.empty()) {
            EXPECT_GT(::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL), 0);
        }
        return launcher::decode<launcher::ImageRef>(bytes).value();
    }

    TempDir folder_{"recap-admit"};
    UniqueFd listener_;
};

TEST_F(Admit, SendsTheDigestAndSaysWhatItDid) {
    for (const auto& spelling : {kHex, "sha256:" + kHex}) {
        ::unlink(path().c_str());
        listen();
        Child child({.argv = argv(spelling)});
        EXPECT_EQ(serve(launcher::encodeReply(launcher::Verb::Admit, 1, launcher::Empty{})).digest, kHex);
        const auto done = child.wait(Deadline(kPatience));
        EXPECT_EQ(done.status, 0) << done.err;
        EXPECT_EQ(done.out, "admitted sha256:" + kHex + "\n");
    }
}

TEST_F(Admit, SaysTheLaunchersRefusal) {
    listen();
    Child child({.argv = argv(kHex)});
    serve(launcher::encodeFailure(launcher::Verb::Admit, 1, {Errc::NotFound, "no image sha256:" + kHex + " is imported"}));
    const auto done = child.wait(Deadline(kPatience));
    EXPECT_EQ(done.status, 1);
    EXPECT_EQ(done.err, "recap-admit: no image sha256:" + kHex + " is imported\n");
}

TEST_F(Admit, SaysThatTheLauncherIsAway) {
    const auto done = run(argv(kHex));
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.err, HasSubstr("recap-launcher does not answer at " + path()));
}

TEST_F(Admit, SaysThatItGotNoAnswer) {
    listen();
    Child child({.argv = argv(kHex)});
    serve("");
    const auto done = child.wait(Deadline(kPatience));
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.err, HasSubstr("without an answer"));
}

TEST_F(Admit, RefusesWhatIsNoWholeDigest) {
    for (const auto& text : {std::string("abc"), std::string(64, 'A'), "sha512:" + kHex, kHex + "0", std::string("../x")}) {
        const auto done = run(argv(text));
        EXPECT_EQ(done.status, 2) << text;
        EXPECT_THAT(done.err, HasSubstr("whole digest"));
    }
    EXPECT_EQ(run({binDir() / "recap-admit"}).status, 2);
    EXPECT_EQ(run({binDir() / "recap-admit", "--frobnicate", kHex}).status, 2);
}

}  // namespace
}  // namespace recap::test
