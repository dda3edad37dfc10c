// SPDX-License-Identifier: Apache-2.0
// What is told of an engine that starts, changes, loses events, hangs and ends.
#include "plugins/docker/session.hpp"

#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <recap/proc.hpp>

#include <mutex>
#include <thread>

#include "tests/support/engines/fake_docker.hpp"
#include "tests/support/wait.hpp"

namespace recap::docker {
namespace {

using test::FakeContainer;
using test::fakeId;
using test::FakeReply;
using testing::HasSubstr;

// The host's side, as a plugin sees it.
class Told {
public:
    Told() {
        table_.size = sizeof table_;
        table_.stop_fd = stop_.get();
        table_.host = this;
        table_.snapshot_begin = [](void* self) { of(self).change([](Told& told) { told.staged_.clear(); }); };
        table_.snapshot_target = [](void* self, const recap_target* target) {
            of(self).change([&](Told& told) { told.staged_[textOf(target->id)] = copy(*target); });
        };
        table_.snapshot_end = [](void* self) { of(self).change([](Told& told) { told.all_ = told.staged_, ++told.snapshots_; }); };
        table_.added = [](void* self, const recap_target* target) {
            of(self).change([&](Told& told) { told.all_[textOf(target->id)] = copy(*target), ++told.added_; });
        };
        table_.changed = [](void* self, const recap_target* target) {
            of(self).change([&](Told& told) { told.all_[textOf(target->id)] = copy(*target), ++told.changed_; });
        };
        table_.removed = [](void* self, recap_text id) { of(self).change([&](Told& told) { told.all_.erase(textOf(id)); }); };
        table_.state = [](void*, std::uint32_t, recap_text) {};
        table_.alive = [](void*) {};
    }
    const recap_backend_sink* table() const { return &table_; }
    void stop() const {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
    }
    template <class Condition>
    bool until(Condition condition) {
        return test::waitUntil(
            [&] {
                const std::lock_guard lock(mutex_);
                return condition(*this);
            },
            test::Deadline(test::kPatience));
    }
    bool has(unsigned number) const { return all_.contains(fakeId(number)); }
    const plugin::Target& at(unsigned number) const { return all_.at(fakeId(number)); }

    std::map<std::string, plugin::Target> all_;
    int snapshots_ = 0, added_ = 0, changed_ = 0;

private:
    static Told& of(void* self) { return *static_cast<Told*>(self); }
    static std::string textOf(recap_text text) { return std::string(plugin::detail::view(text)); }
    static plugin::Target copy(const recap_target& from) {
        plugin::Target target;
        target.pid = from.pid;
        target.name = textOf(from.name);
        target.state = static_cast<plugin::TargetState>(from.state);
        for (std::uint32_t i = 0; i < from.detail_count; ++i) target.details[textOf(from.details[i].key)] = textOf(from.details[i].value);
        return target;
    }
    template <class Body>
    void change(Body body) {
        const std::lock_guard lock(mutex_);
        body(*this);
    }

    std::mutex mutex_;
    UniqueFd stop_{::eventfd(0, EFD_CLOEXEC)};
    std::map<std::string, plugin::Target> staged_;
    recap_backend_sink table_{};
};

// Any process will do: what cgroups say of them is another test's.
bool pinAnything(plugin::Target& target) {
    target.startTime = plugin::startTimeOf(target.pid);
    return target.startTime != 0;
}

class DockerSession : public testing::Test {
protected:
    DockerSession() {
        times_.retry = std::chrono::milliseconds(50);
        for (unsigned number : {1u, 2u}) fake_.put(container(number));
    }
    ~DockerSession() override {
        told_.stop();
        if (thread_.joinable()) thread_.join();
    }
    static FakeContainer container(unsigned number) {
        return {.id = fakeId(number), .name = "c" + std::to_string(number), .pid = ::getpid()};
    }
    void start() {
        if (thread_.joinable()) thread_.join();
        ended_.reset();
        thread_ = std::thread([this] {
            plugin::Sink sink(told_.table());
            Error error = Session((folder_.path() / "engine.sock").string(), memory_, sink, times_, &pinAnything).run();
            const std::lock_guard lock(mutex_);
            ended_ = std::move(error);
        });
    }
    bool ends() {
        return test::waitUntil(
            [&] {
                const std::lock_guard lock(mutex_);
                return ended_.has_value();
            },
            test::Deadline(test::kPatience));
    }

    test::TempDir folder_;
    test::FakeDocker fake_{folder_.path() / "engine.sock"};
    SessionTimes times_;
    Memory memory_;
    Told told_;
    std::mutex mutex_;
    std::optional<Error> ended_;
    std::thread thread_;
};

TEST_F(DockerSession, SubscribesBeforeItLists) {
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    EXPECT_EQ(told_.all_.size(), 2u);
    EXPECT_EQ(told_.at(1).name, "c1");
    const auto requests = fake_.requests();
    const auto at = [&](const char* part) {
        return std::find_if(requests.begin(), requests.end(), [&](const auto& one) { return one.find(part) != std::string::npos; }) -
               requests.begin();
    };
    EXPECT_LT(at("/events?since="), at("/containers/json"));
    EXPECT_LT(at("/containers/json"), static_cast<std::ptrdiff_t>(requests.size()));
}

TEST_F(DockerSession, TellsWhatChanges) {
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    fake_.put(container(3));
    fake_.event("start", fakeId(3));
    EXPECT_TRUE(told_.until([](auto& told) { return told.has(3); }));
    auto paused = container(3);
    paused.status = "paused";
    fake_.put(paused);
    fake_.event("pause", fakeId(3));
    EXPECT_TRUE(told_.until([](auto& told) { return told.at(3).state == plugin::TargetState::Paused; }));
    auto healthy = container(3);
    healthy.health = "healthy";
    fake_.put(healthy);
    fake_.event("health_status: healthy", fakeId(3));
    EXPECT_TRUE(told_.until([](auto& told) { return told.at(3).details.contains("health"); }));
    auto ended = container(3);
    ended.status = "exited";
    fake_.put(ended);
    fake_.event("die", fakeId(3));
    EXPECT_TRUE(told_.until([](auto& told) { return !told.has(3); }));
    fake_.drop(fakeId(1));
    fake_.event("destroy", fakeId(1));
    EXPECT_TRUE(told_.until([](auto& told) { return !told.has(1) && told.has(2); }));
}

TEST_F(DockerSession, ARestartIsANewLifeUnderTheSameId) {
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    auto again = container(2);
    again.pid = 1;
    again.restarts = 1;
    fake_.put(again);
    fake_.event("die", fakeId(2));
    fake_.event("start", fakeId(2));
    EXPECT_TRUE(told_.until([](auto& told) { return told.added_ == 1 && told.at(2).pid == 1; }));
    EXPECT_EQ(told_.at(2).details.at("restarts"), "1");
}

// A session is one life of the engine's: the next one speaks what the new program knows, and what it tells takes the place of what was.
TEST_F(DockerSession, AnUpgradedEngineIsSpokenToInItsNewVersion) {
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    ASSERT_GT(fake_.countOf("/v1.41/containers/json"), 0u);
    fake_.answer("/_ping", test::FakeReply{.body = "OK", .headers = {{"Api-Version", "1.47"}}});
    fake_.drop(fakeId(1));
    fake_.endStreams();
    ASSERT_TRUE(ends());
    const std::size_t before = fake_.countOf("/v1.41/");
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 2; }));
    EXPECT_FALSE(told_.has(1));
    EXPECT_TRUE(told_.has(2));
    EXPECT_GT(fake_.countOf("/v1.47/containers/json"), 0u);
    EXPECT_EQ(fake_.countOf("/v1.41/"), before) << "nothing more in the old one";
}

TEST_F(DockerSession, WhatEventsLostIsFoundByTheNextRound) {
    times_.resync = std::chrono::milliseconds(50);
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ >= 1; }));
    fake_.drop(fakeId(1));
    fake_.put(container(9));
    EXPECT_TRUE(told_.until([](auto& told) { return !told.has(1) && told.has(9); }));
}

TEST_F(DockerSession, AnEventThatIsTooLongMakesANewRound) {
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    fake_.put(container(9));
    for (int i = 0; i < 5; ++i) fake_.say(std::string(100'000, 'x'));
    fake_.say("\n");
    EXPECT_TRUE(told_.until([](auto& told) { return told.has(9); }));
}

TEST_F(DockerSession, AStreamThatEndsIsOpenedAgainWhereItWas) {
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    fake_.put(container(3));
    fake_.event("start", fakeId(3));
    ASSERT_TRUE(told_.until([](auto& told) { return told.has(3); }));
    fake_.endStreams();
    ASSERT_TRUE(ends());
    EXPECT_EQ(ended_->code, Errc::Unavailable);
    fake_.put(container(4));
    start();
    EXPECT_TRUE(told_.until([](auto& told) { return told.has(4); }));
    EXPECT_EQ(fake_.countOf("since=1700000000.000000001&"), 1u);
}

TEST_F(DockerSession, AContainerThatIsStuckHoldsUpNoOther) {
    times_.engine.inspect = std::chrono::seconds(1);
    fake_.answer("/containers/" + fakeId(1) + "/json", FakeReply{.silent = true});
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    EXPECT_FALSE(told_.has(1));
    EXPECT_TRUE(told_.has(2));
    fake_.event("health_status: healthy", fakeId(1));
    fake_.put(container(3));
    fake_.event("start", fakeId(3));
    EXPECT_TRUE(told_.until([](auto& told) { return told.has(3); }));
    fake_.answerAsItShould("/containers/" + fakeId(1) + "/json");
    EXPECT_TRUE(told_.until([](auto& told) { return told.has(1); })) << "it is asked for again";
}

TEST_F(DockerSession, AnEngineWhoseContainersAreAllStuckFails) {
    times_.engine.inspect = std::chrono::milliseconds(300);
    for (unsigned number = 1; number <= 40; ++number) {
        fake_.put(container(number));
        fake_.answer("/containers/" + fakeId(number) + "/json", FakeReply{.silent = true});
    }
    start();
    ASSERT_TRUE(ends());
    EXPECT_THAT(ended_->message, HasSubstr("of its 40 containers; the last: no whole answer to GET /containers/"));
}

TEST_F(DockerSession, AnEngineThatHangsIsNoticedWithoutEvents) {
    times_.ping = std::chrono::milliseconds(50);
    times_.engine.answer = std::chrono::seconds(2);
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    fake_.answer("/_ping", FakeReply{.silent = true});
    ASSERT_TRUE(ends());
    EXPECT_THAT(ended_->message, HasSubstr("no whole answer to GET /_ping"));
    EXPECT_TRUE(told_.has(1)) << "its targets are kept";
}

TEST_F(DockerSession, EndlessAndSenselessEventsHarmNobody) {
    std::string noise;
    for (unsigned i = 0; i < 100; ++i)
        noise += R"({"Type":"container","Action":"start","Actor":{"ID":")" + fakeId(1000 + i) + "\"}}\n{\"Type\":7}\nnoise\n";
    fake_.answer("/events", FakeReply{.body = noise, .endless = true});
    start();
    EXPECT_TRUE(told_.until([](auto& told) { return told.snapshots_ >= 1 && told.has(1) && told.has(2); }));
    EXPECT_EQ(told_.all_.size(), 2u);
}

TEST_F(DockerSession, EventsThatAreRefusedSayWhy) {
    fake_.answer("/events", FakeReply{.status = 403, .body = R"({"message":"not for you"})"});
    start();
    ASSERT_TRUE(ends());
    EXPECT_EQ(ended_->message, "GET /events is answered with status 403: not for you");
}

TEST_F(DockerSession, AThousandContainersAreOneRound) {
    for (unsigned number = 1; number <= 1000; ++number) fake_.put(container(number));
    const auto before = std::chrono::steady_clock::now();
    start();
    ASSERT_TRUE(told_.until([](auto& told) { return told.snapshots_ == 1; }));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - before);
    EXPECT_EQ(told_.all_.size(), 1000u);
    EXPECT_LE(fake_.connections(), 12u);
    std::printf("1000 containers listed and inspected in %lld ms\n", static_cast<long long>(took.count()));
}

}  // namespace
}  // namespace recap::docker
