// SPDX-License-Identifier: Apache-2.0
// recapd's side against hosts that a test plays: honest ones, silent ones and hostile ones.
#include <sys/wait.h>

#include <csignal>

#include "tests/unit/daemon/host/hosts.hpp"

namespace recap::host {
namespace {

TEST_F(Hosts, ASnapshotMakesTheBackendReady) {
    connectWith({record("a"), record("b")});
    EXPECT_THAT(sink_.ids(), ElementsAre("a", "b"));
    EXPECT_EQ(sink_.last.state, BackendState::Ready);
    EXPECT_EQ(sink_.last.targets, 2u);
    EXPECT_EQ(sink_.targets["a"].id.text(), "docker:a");
}

TEST_F(Hosts, WithoutASocketTheBackendIsUnavailableAndTriedAgain) {
    start();
    EXPECT_EQ(sink_.last.state, BackendState::Unavailable);
    EXPECT_THAT(sink_.last.detail, HasSubstr((folder_ / "docker").string()));
    listen();
    accept();
    send(Hello{"docker", "1"});
    snapshot({record("a")});
    EXPECT_EQ(sink_.last.state, BackendState::Ready);
}

TEST_F(Hosts, ChangesFollowTheSnapshot) {
    connectWith({record("a")});
    send(Added{record("b")});
    send(Removed{"a"});
    send(Removed{"never-told"});
    send(Changed{record("b", 9)});
    until([&] { return sink_.log.size() == 3; });
    EXPECT_THAT(sink_.log, ElementsAre("+b", "-a", "+b"));
    EXPECT_EQ(sink_.targets["b"].pid, 9);
}

TEST_F(Hosts, AGapAsksForANewSnapshotAndNothingCountsUntilIt) {
    connectWith({record("a")});
    ++number_;
    send(Added{record("lost")});
    EXPECT_TRUE(std::holds_alternative<Resync>(receive()));
    EXPECT_EQ(sink_.last.state, BackendState::Waiting);
    send(Added{record("also-not")});
    snapshot({record("c")});
    EXPECT_THAT(sink_.ids(), ElementsAre("c"));
    EXPECT_THAT(sink_.log, IsEmpty());
    EXPECT_EQ(sink_.last.state, BackendState::Ready);
}

TEST_F(Hosts, ASnapshotWithAWrongCountIsAskedForAgain) {
    listen();
    start();
    accept();
    send(Hello{"docker", "1"});
    send(SnapshotBegin{});
    send(SnapshotTarget{record("a")});
    send(SnapshotEnd{2});
    EXPECT_TRUE(std::holds_alternative<Resync>(receive()));
    EXPECT_EQ(sink_.snapshots, 0);
}

TEST_F(Hosts, TargetsOutliveTheirHostAndTheNextSnapshotReplacesThem) {
    connectWith({record("a"), record("b")});
    host_.reset();
    until([&] { return sink_.last.state == BackendState::Unavailable; });
    EXPECT_THAT(sink_.ids(), ElementsAre("a", "b"));
    accept();
    send(Hello{"docker", "1"});
    snapshot({record("b")});
    EXPECT_THAT(sink_.ids(), ElementsAre("b"));
}

TEST_F(Hosts, TheHostsOwnReasonStaysWhenItEnds) {
    listen();
    start();
    accept();
    send(Hello{"docker", "1"});
    send(StateRecord{BackendState::Unavailable, "[plugins.docker]: unknown setting 'x'"});
    host_.reset();
    accept();
    EXPECT_EQ(sink_.last.detail, "[plugins.docker]: unknown setting 'x'");
}

TEST_F(Hosts, AFoundTargetIsInTheSinkBeforeTheAnswer) {
    connectWith({});
    std::optional<Result<void>> answer;
    std::vector<std::string> seen;
    hosts_->find({"docker", "4242"}, [&](Result<void> result) {
        answer = std::move(result);
        seen = sink_.ids();
    });
    const auto asked = std::get<Find>(receive());
    EXPECT_EQ(asked.id, "4242");
    send(Added{record("4242")});
    send(Found{asked.request, Errc::None, ""});
    until([&] { return answer.has_value(); });
    EXPECT_TRUE(answer->has_value());
    EXPECT_THAT(seen, ElementsAre("4242"));
}

TEST_F(Hosts, ARefusedSearchNamesBackendAndReason) {
    connectWith({});
    std::optional<Result<void>> answer;
    hosts_->find({"docker", "x"}, [&](Result<void> result) { answer = std::move(result); });
    send(Found{std::get<Find>(receive()).request, Errc::NotFound, "no container 'x'"});
    until([&] { return answer.has_value(); });
    EXPECT_EQ(answer->error().code, Errc::NotFound);
    EXPECT_EQ(answer->error().message, "docker: no container 'x'");
}

TEST_F(Hosts, AnUnknownBackendIsNamedWithTheKnownOnes) {
    connectWith({});
    std::optional<Result<void>> answer;
    hosts_->find({"dokcer", "x"}, [&](Result<void> result) { answer = std::move(result); });
    EXPECT_THAT(answer->error().message, HasSubstr("'dokcer'; there are: docker"));
}

TEST_F(Hosts, ALateSearchFailsAloneAndTheNextOneIsAsked) {
    times_.answer = 20'000;
    connectWith({record("a")});
    std::optional<Result<void>> late, next;
    hosts_->find({"docker", "x"}, [&](Result<void> result) { late = std::move(result); });
    hosts_->find({"docker", "y"}, [&](Result<void> result) { next = std::move(result); });
    const auto first = std::get<Find>(receive());
    EXPECT_EQ(first.id, "x");
    EXPECT_FALSE(readable(host_.get())) << "one at a time: a deadline runs from when the host can begin";
    until([&] { return late.has_value(); });
    EXPECT_EQ(late->error().code, Errc::Timeout);
    EXPECT_EQ(sink_.last.state, BackendState::Ready);
    EXPECT_THAT(sink_.ids(), ElementsAre("a"));
    const auto second = std::get<Find>(receive());
    EXPECT_EQ(second.id, "y");
    send(Found{first.request, Errc::None, ""});
    send(Found{second.request, Errc::None, ""});
    until([&] { return next.has_value(); });
}

TEST_F(Hosts, SearchesBeyondTheQueueAreBusyAndTheSameOneIsAskedOnce) {
    connectWith({});
    int answered = 0;
    std::optional<Result<void>> refused;
    for (int i = 0; i < 5; ++i) hosts_->find({"docker", "x" + std::to_string(i)}, [&](const Result<void>&) { ++answered; });
    hosts_->find({"docker", "x4"}, [&](const Result<void>&) { ++answered; });
    hosts_->find({"docker", "x5"}, [&](Result<void> result) { refused = std::move(result); });
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->error().code, Errc::Busy);
    for (int i = 0; i < 5; ++i) {
        const auto asked = std::get<Find>(receive());
        EXPECT_EQ(asked.id, "x" + std::to_string(i));
        send(Found{asked.request, Errc::None, ""});
    }
    until([&] { return answered == 6; });
}

TEST_F(Hosts, WhatWasJustNotFoundIsNotLookedForAgain) {
    times_.missing = 60'000'000;
    connectWith({});
    std::optional<Result<void>> answer;
    const auto keep = [&](Result<void> result) { answer = std::move(result); };
    hosts_->find({"docker", "x"}, keep);
    send(Found{std::get<Find>(receive()).request, Errc::NotFound, "no container 'x'"});
    until([&] { return answer.has_value(); });
    answer.reset();
    hosts_->find({"docker", "x"}, keep);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->error().message, "docker: no container 'x'");
    hosts_->find({"docker", "y"}, keep);
    EXPECT_EQ(std::get<Find>(receive()).id, "y");
}

TEST_F(Hosts, RecapsOwnHouseIsNobodysToName) {
    listen();
    start();
    accept();
    send(Hello{"docker", "1"});
    const pid_t other = ::fork();  // a plugin host of another name, as far as its socket tells
    if (other == 0) ::pause();
    TargetRecord launcher = record("launcher"), capsule = record("capsule"), near = record("near");
    launcher.cgroup = "/system.slice/recap-launcher.service";
    capsule.cgroup = "/system.slice/recap-launcher.service/c/01J9ZQ4X8W0000000000000000";
    near.cgroup = "/system.slice/recap-launcher.service-like";
    snapshot({record("self", ::getpid()), launcher, capsule, near, record("other", other)});
    EXPECT_THAT(sink_.ids(), ElementsAre("near", "other"));
    ::kill(other, SIGKILL);
    ::waitpid(other, nullptr, 0);
}

TEST_F(Hosts, APluginHostIsNoTarget) {
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t host = ::fork();
    if (host == 0) {  // the host that answers at the socket, and names itself
        listen();
        (void)!::write(ready[1], "x", 1);
        const int peer = ::accept(listener_.get(), nullptr, nullptr);
        const std::vector<FromHost> all{Hello{"docker", "1"}, SnapshotBegin{}, SnapshotTarget{record("a")},
                                        SnapshotTarget{record("me", ::getpid())}, SnapshotEnd{2}};
        for (std::size_t i = 0; i < all.size(); ++i) {
            const std::string raw = encode(i + 1, all[i]);
            (void)!::send(peer, raw.data(), raw.size(), 0);
        }
        ::pause();
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    start();
    until([&] { return sink_.snapshots > 0; });
    EXPECT_THAT(sink_.ids(), ElementsAre("a"));
    hosts_.reset();
    ::kill(host, SIGKILL);
    ::waitpid(host, nullptr, 0);
    for (const int fd : ready) ::close(fd);
}

TEST_F(Hosts, AHostThatDoesNotTurnIsGivenUp) {
    times_.ping = 10'000;
    times_.answer = 20'000;
    connectWith({record("a")});
    times_.ping = 60'000'000;
    until([&] { return sink_.last.state == BackendState::Unavailable; });
    EXPECT_THAT(sink_.last.detail, HasSubstr("does not answer"));
}

TEST_F(Hosts, APingThatIsAnsweredKeepsTheHost) {
    times_.ping = 10'000;
    times_.answer = 60'000'000;
    connectWith({record("a")});
    for (int i = 0; i < 3; ++i) send(Pong{std::get<Ping>(receive()).nonce});
    EXPECT_EQ(sink_.last.state, BackendState::Ready);
}

TEST_F(Hosts, GarbageCutsTheHostOff) {
    connectWith({record("a")});
    bytes("GET / HTTP/1.1\r\n\r\n");
    expectCutOff("no record");
}

TEST_F(Hosts, AnOversizedRecordCutsTheHostOff) {
    connectWith({record("a")});
    bytes(std::string(kMaxRecord + 1, 'x'));
    expectCutOff(std::to_string(kMaxRecord + 1) + " bytes");
}

TEST_F(Hosts, AHostThatCountsBackwardsIsCutOff) {
    connectWith({record("a")});
    number_ = 0;
    send(Removed{"a"});
    expectCutOff("record 1 after");
}

TEST_F(Hosts, AHostWithoutGreetingIsCutOff) {
    listen();
    start();
    accept();
    send(SnapshotBegin{});
    expectCutOff("no greeting");
}

TEST_F(Hosts, ADoubleIdInASnapshotCutsTheHostOff) {
    connectWith({record("a")});
    send(SnapshotBegin{});
    send(SnapshotTarget{record("a")});
    send(SnapshotTarget{record("a")});
    expectCutOff("twice");
}

TEST_F(Hosts, AnotherPluginThanConfiguredIsCutOff) {
    listen();
    start();
    accept();
    send(Hello{"process", "1"});
    expectCutOff("recapd.toml says 'docker'");
}

TEST_F(Hosts, TooManyTargetsCutTheHostOff) {
    connectWith({record("a")});
    for (std::size_t i = 0; i <= kMaxTargets && sink_.last.state == BackendState::Ready; ++i) {
        send(Added{record(std::to_string(i))});
        sd_event_run(loop_.get(), 0);
    }
    until([&] { return sink_.last.state == BackendState::Unavailable; });
    EXPECT_THAT(sink_.last.detail, HasSubstr("more than 8192 targets"));
    EXPECT_LE(sink_.targets.size(), kMaxTargets);
}

TEST_F(Hosts, AHostNamesTargetsOfItsOwnCgroupsOnly) {
    listen();
    start({"docker", "docker", {"/docker/*"}});
    accept();
    send(Hello{"docker", "1"});
    TargetRecord foreign = record("foreign");
    foreign.cgroup = "/kubepods/x";
    TargetRecord nowhere = record("nowhere");
    nowhere.cgroup = "";
    snapshot({record("a"), foreign, nowhere});
    EXPECT_THAT(sink_.ids(), ElementsAre("a"));
}

TEST_F(Hosts, ARunningTargetWithoutAPidOrStartTimeIsLeftOut) {
    TargetRecord noStart = record("no-start");
    noStart.startTime = 0;
    connectWith({record("no-pid", 0), noStart, record("a")});
    EXPECT_THAT(sink_.ids(), ElementsAre("a"));
}

TEST_F(Hosts, AForgottenBackendTakesItsTargetsAlong) {
    connectWith({record("a")});
    hosts_->configure({});
    EXPECT_THAT(sink_.ids(), IsEmpty());
    EXPECT_THAT(hosts_->statuses(), IsEmpty());
}

TEST_F(Hosts, WhoWaitsForAForgottenBackendIsTold) {
    connectWith({record("a")});
    std::vector<Error> told;
    for (const char* id : {"x", "y"}) hosts_->find({"docker", id}, [&](const Result<void>& result) { told.push_back(result.error()); });
    hosts_->configure({});
    ASSERT_EQ(told.size(), 2u);
    EXPECT_EQ(told[1].code, Errc::Unavailable);
    EXPECT_EQ(told[1].message, "docker: it is no longer in recapd.toml");
    EXPECT_THAT(sink_.forgottenBackends, ElementsAre("docker"));
}

TEST_F(Hosts, AChangedPluginSettingEndsTheOldHostAndAnEqualOneDoesNot) {
    listen();
    PluginSetting setting{"docker", "docker", {}, {{"interval", {"1s"}}}};
    start(setting);
    accept();
    send(Hello{"docker", "1"});
    snapshot({record("a")});
    hosts_->configure({setting});
    EXPECT_FALSE(readable(host_.get()));
    setting.values["interval"] = {"2s"};
    hosts_->configure({setting});
    char byte = 0;
    until([&] { return readable(host_.get()); });
    EXPECT_EQ(::recv(host_.get(), &byte, 1, 0), 0) << "EOF ends the host";
    accept();
    send(Hello{"docker", "1"});
    snapshot({record("b")});
    EXPECT_THAT(sink_.ids(), ElementsAre("b"));
    EXPECT_THAT(sink_.forgottenBackends, IsEmpty());
}

}  // namespace
}  // namespace recap::host
