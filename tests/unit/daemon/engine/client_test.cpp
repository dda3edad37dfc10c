// SPDX-License-Identifier: Apache-2.0
// recapd's client of the launcher against one that says HELLO and then nothing.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>

#include "daemon/launcher/client.hpp"
#include "daemon/launcher/codec.hpp"
#include "fakes.hpp"

namespace recap::test {
namespace {

struct Events : LaunchEvents {
    int connections = 0;
    int losses = 0;
    void progressed(const RunId&, const Phases&) override {}
    void ended(RunReport) override {}
    void connected() override { ++connections; }
    void disconnected(Error) override { ++losses; }
};

struct Mute {
    Folder folder;
    EventLoop loop = newLoop();
    Events events;
    UniqueFd listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    UniqueFd peer;
    EventSource source;
    std::vector<launcher::Header> asked;

    Mute() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, path().c_str());
        EXPECT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(listener.get(), 5), 0);
        sd_event_source* made = nullptr;
        EXPECT_GE(sd_event_add_io(loop.get(), &made, listener.get(), EPOLLIN, onConnection, this), 0);
        source.reset(made);
    }
    std::string path() const { return folder.path() + "/launcher.sock"; }
    static int onConnection(sd_event_source*, int fd, std::uint32_t, void* self) {
        static_cast<Mute*>(self)->peer.reset(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
        return static_cast<Mute*>(self)->greet();
    }
    // The client has sent HELLO before it is accepted.
    int greet() {
        const auto hello = read();
        if (hello) answer(*hello, launcher::Hello{});
        return 0;
    }
    std::optional<launcher::Header> read() {
        auto message = launcher::receiveMessage(peer.get());
        if (!message) return {};
        asked.push_back(launcher::decodeHeader(message->bytes).value());
        return asked.back();
    }
    template <class T>
    void answer(const launcher::Header& header, const T& body, std::vector<int> fds = {}) {
        EXPECT_TRUE(launcher::sendMessage(peer.get(), launcher::encodeReply(header.verb, header.sequence, body), fds));
    }
};

struct ClientTest : testing::Test {
    Mute mute;
    LauncherPatience patience;
    std::unique_ptr<LauncherClient> client;
    void connect() {
        client = std::make_unique<LauncherClient>(mute.loop.get(), mute.path(), mute.events, patience);
        client->connect();
        turnUntil(mute.loop.get(), [this] { return mute.events.connections == 1; });
    }
    void signal(std::vector<Errc>& answers) {
        client->signal("R", 15, [&](const Result<void>& done) { answers.push_back(done ? Errc::None : done.error().code); });
    }
};

TEST_F(ClientTest, ARequestThatIsNotAnsweredInTimeIsAnsweredHere) {
    patience.usual = 20'000;
    connect();
    std::vector<Errc> answers;
    signal(answers);
    turnUntil(mute.loop.get(), [&] { return !answers.empty(); });
    EXPECT_EQ(answers, std::vector<Errc>{Errc::Unavailable});
    EXPECT_TRUE(client->available()) << "one late answer is no lost connection";
    // The late answer is nobody's, and the connection goes on.
    const auto first = mute.read();
    ASSERT_TRUE(first);
    mute.answer(*first, launcher::Empty{});
    turn(mute.loop.get());
    signal(answers);
    const auto second = mute.read();
    ASSERT_TRUE(second);
    mute.answer(*second, launcher::Empty{});
    turnUntil(mute.loop.get(), [&] { return answers.size() == 2; });
    EXPECT_EQ(answers.back(), Errc::None);
    EXPECT_EQ(mute.events.losses, 0);
}

TEST_F(ClientTest, AnAnswerThatNeverComesEndsTheConnection) {
    patience.usual = patience.late = 1000;
    connect();
    std::vector<Errc> answers;
    signal(answers);
    turnUntil(mute.loop.get(), [&] { return mute.events.losses == 1; });
    EXPECT_EQ(answers.size(), 1u);
    turnUntil(mute.loop.get(), [&] { return mute.events.connections == 2; });
}

TEST_F(ClientTest, TooManyLateAnswersEndTheConnection) {
    patience.usual = 1000;
    patience.mostLate = 3;
    connect();
    std::vector<Errc> answers;
    for (int i = 0; i < 10; ++i) signal(answers);
    turnUntil(mute.loop.get(), [&] { return mute.events.losses == 1; });
    EXPECT_EQ(answers, std::vector<Errc>(10, Errc::Unavailable));
}

TEST_F(ClientTest, WhatCouldNotBeSentIsAnswered) {
    connect();
    bool answered = false;
    client->inspect(-1, [&](const Result<TargetFacts>& facts) { answered = !facts; });
    EXPECT_FALSE(answered) << "never from inside the call";
    turnUntil(mute.loop.get(), [&] { return answered; });
    std::vector<Errc> answers;
    signal(answers);
    const auto next = mute.read();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->verb, launcher::Verb::Signal);
}

struct Watching : ClientTest {
    Target target;
    std::vector<Result<OpenedWatch>> answers;
    Watching() { target.pidfd = std::make_shared<UniqueFd>(::eventfd(0, EFD_CLOEXEC)); }
    launcher::Header ask() {
        client->watch(target, {.kind = WatchKind::Pressure, .stall = std::chrono::milliseconds(100), .window = std::chrono::seconds(1)},
                      [this](Result<OpenedWatch> opened) { answers.push_back(std::move(opened)); });
        return mute.read().value();
    }
};

TEST_F(Watching, AWatchComesWithItsDescriptor) {
    connect();
    const launcher::Header asked = ask();
    EXPECT_EQ(asked.verb, launcher::Verb::Watch);
    const UniqueFd event(::eventfd(7, EFD_CLOEXEC));
    mute.answer(asked, launcher::Watched{9, launcher::WatchForm::Trigger, 200'000, 2'000'000}, {event.get()});
    turnUntil(mute.loop.get(), [&] { return !answers.empty(); });
    ASSERT_TRUE(answers[0]);
    EXPECT_EQ(answers[0]->id, 9u);
    EXPECT_EQ(answers[0]->form, WatchForm::Trigger);
    EXPECT_EQ(answers[0]->window, std::chrono::seconds(2));
    std::uint64_t count = 0;
    EXPECT_EQ(::read(answers[0]->fd.get(), &count, sizeof count), 8);
    EXPECT_EQ(count, 7u) << "it is the one that was sent";
    const launcher::Header bare = ask();
    mute.answer(bare, launcher::Watched{10, launcher::WatchForm::Trigger, 1, 2});
    turnUntil(mute.loop.get(), [&] { return answers.size() == 2; });
    EXPECT_FALSE(answers[1]);
}

TEST_F(Watching, AWatchThatComesTooLateIsLetGo) {
    patience.watch = 20'000;
    connect();
    const launcher::Header asked = ask();
    turnUntil(mute.loop.get(), [&] { return !answers.empty(); });
    EXPECT_FALSE(answers[0]);
    const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
    mute.answer(asked, launcher::Watched{9, launcher::WatchForm::Counter, 0, 0}, {event.get()});
    turn(mute.loop.get());
    const auto next = mute.read();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->verb, launcher::Verb::Unwatch);
    EXPECT_EQ(answers.size(), 1u);
}

TEST_F(ClientTest, AnotherCeilingIsHeardOf) {
    connect();
    EXPECT_EQ(client->hostNamespaces(), 0u);
    const auto tell = [this](std::uint32_t namespaces) {
        launcher::Hello hello;
        hello.hostNamespaces = namespaces;
        mute.answer({.verb = launcher::Verb::Hello, .sequence = 0}, hello);
        turnUntil(mute.loop.get(), [&] { return client->hostNamespaces() == namespaces; });
    };
    tell(3);
    tell(0);
    EXPECT_EQ(mute.events.losses, 0);
    EXPECT_EQ(mute.events.connections, 1) << "it is the same launcher";
}

TEST_F(ClientTest, AnotherTurnOfUsualLengthLosesNothing) {
    connect();
    std::vector<Errc> answers;
    for (int i = 0; i < 5; ++i) signal(answers);
    for (int i = 0; i < 5; ++i) mute.answer(mute.read().value(), launcher::Empty{});
    turnUntil(mute.loop.get(), [&] { return answers.size() == 5; });
    EXPECT_EQ(answers, std::vector<Errc>(5, Errc::None));
}

}  // namespace
}  // namespace recap::test
