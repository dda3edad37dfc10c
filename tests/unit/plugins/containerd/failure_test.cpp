// SPDX-License-Identifier: Apache-2.0
// A containerd that is away, hangs, lies or never ends: what was told is kept, nothing grows, and run() returns when it has to.
#include <gmock/gmock.h>
#include <recap/plugin.h>

#include <filesystem>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/plugins/containerd/fake_containerd.hpp"
#include "tests/unit/plugins/containerd/observed_backend.hpp"

namespace recap::test {
namespace {

constexpr std::chrono::seconds kStop{5};

class ContainerdFailure : public testing::Test {
protected:
    FakeContainer running() const { return runningAs(process_.pid()); }

    TempDir folder_{"recap-fake"};
    std::string socket_ = folder_.path() / "run/containerd.sock";
    Child process_{Command{.argv = {"sleep", "86400"}}};
};

TEST_F(ContainerdFailure, AnAbsentEngineIsWaitedFor) {
    auto options = testOptions(socket_);
    options.firstRetry = options.longestRetry = std::chrono::hours(1);  // so that it is the folder's word that counts
    ObservedBackend backend(options);
    ASSERT_TRUE(backend.untilState(RECAP_BACKEND_WAITING, "no socket at '" + socket_ + "'")) << backend.state();
    std::filesystem::create_directories(std::filesystem::path(socket_).parent_path());
    FakeContainerd fake(socket_);
    EXPECT_TRUE(backend.until([&] { return backend.state() == "ready" || backend.state().find("refused") != std::string::npos; }));
    EXPECT_LT(backend.stop(), kStop);
}

class ContainerdServing : public ContainerdFailure {
protected:
    ContainerdServing() {
        std::filesystem::create_directories(std::filesystem::path(socket_).parent_path());
        fake_.emplace(socket_);
        fake_->putSilently({"one", "app"}, running());
    }
    std::optional<FakeContainerd> fake_;
};

TEST_F(ContainerdServing, ARestartOfTheEngineKeepsTargetsAndLooksAgain) {
    ObservedBackend backend(testOptions(socket_));
    ASSERT_TRUE(backend.untilTold("one/app"));
    fake_->stop();
    EXPECT_TRUE(backend.untilState(RECAP_BACKEND_WAITING, "no socket")) << backend.state();
    EXPECT_TRUE(backend.told("one/app"));
    fake_->putSilently({"one", "while-away"}, running());
    fake_->start();
    EXPECT_TRUE(backend.untilTold("one/while-away"));
    EXPECT_TRUE(backend.told("one/app"));
}

TEST_F(ContainerdServing, AHangingEngineIsSaidAndItsTargetsAreKept) {
    ObservedBackend backend(testOptions(socket_));
    ASSERT_TRUE(backend.untilTold("one/app"));
    fake_->hangs = true;
    EXPECT_TRUE(backend.untilState(RECAP_BACKEND_UNAVAILABLE, "does not answer")) << backend.state();
    EXPECT_TRUE(backend.told("one/app"));
    fake_->hangs = false;
    EXPECT_TRUE(backend.untilReady()) << backend.state();
}

TEST_F(ContainerdServing, AHangingEngineDoesNotKeepRunFromReturning) {
    fake_->hangs = true;
    auto options = testOptions(socket_);
    options.calls = {std::chrono::hours(1), std::chrono::hours(1)};
    ObservedBackend backend(options);
    ASSERT_TRUE(backend.until([&] { return fake_->subscribers > 0; }));
    EXPECT_LT(backend.stop(), kStop);
    fake_->hangs = false;
}

TEST_F(ContainerdServing, AnAnswerThatIsTooLargeIsRefused) {
    fake_->answersHuge = true;
    auto options = testOptions(socket_);
    options.calls.call = std::chrono::seconds(15);  // it is the size that counts
    ObservedBackend backend(options);
    EXPECT_TRUE(backend.untilState(RECAP_BACKEND_UNAVAILABLE, "list of tasks in namespace 'one'")) << backend.state();
    fake_->answersHuge = false;
    EXPECT_TRUE(backend.untilTold("one/app"));
}

TEST_F(ContainerdServing, AListWithoutEndIsRefused) {
    fake_->listsForever = true;
    auto options = testOptions(socket_);
    options.calls.list = std::chrono::milliseconds(500);
    ObservedBackend backend(options);
    EXPECT_TRUE(backend.untilState(RECAP_BACKEND_UNAVAILABLE, "list of containers in namespace 'one'")) << backend.state();
    fake_->listsForever = false;
    EXPECT_TRUE(backend.untilTold("one/app"));
}

TEST_F(ContainerdServing, ASearchInAHangingEngineIsOverInTime) {
    ObservedBackend backend(testOptions(socket_));
    ASSERT_TRUE(backend.untilTold("one/app"));
    fake_->hangs = true;
    const auto before = std::chrono::steady_clock::now();
    EXPECT_NE(backend.find("app"), "");
    EXPECT_EQ(backend.code, plugin::Code::Unavailable);
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
    fake_->hangs = false;
}

TEST_F(ContainerdServing, GarbageIsNoEvent) {
    ObservedBackend backend(testOptions(socket_));
    ASSERT_TRUE(backend.untilTold("one/app"));
    const std::string exit = "containerd.events.TaskExit";
    fake_->send({"one", "/tasks/exit", exit, std::string(70'000, '\xff')});
    fake_->send({"one", "/tasks/exit", "type.googleapis.com/nobody.Knows", "x"});
    fake_->send({"one", "/tasks/exit", exit, ""});
    fake_->send({"\x01/..", "/tasks/exit", exit,
                 std::string("\x0a\x03"
                             "app",
                             5)});
    fake_->put({"one", "after"}, running());
    EXPECT_TRUE(backend.untilTold("one/after"));
    EXPECT_TRUE(backend.told("one/app"));
}

TEST_F(ContainerdServing, EventsWithoutEndHoldUpNothing) {
    fake_->floods = true;
    ObservedBackend backend(testOptions(socket_));
    ASSERT_TRUE(backend.untilTold("one/app"));
    fake_->putSilently({"one", "in-the-flood"}, running());
    EXPECT_TRUE(backend.untilTold("one/in-the-flood")) << "by the look that follows what was missed";
    EXPECT_LT(backend.stop(), kStop);
}

TEST_F(ContainerdServing, OneShimThatHangsHidesNoOtherContainer) {
    ObservedBackend backend([&] {
        auto options = testOptions(socket_);
        options.resync = std::chrono::milliseconds(100);
        return options;
    }());
    ASSERT_TRUE(backend.untilTold("one/app"));
    auto wedged = running();
    wedged.shimHangs = true;
    fake_->putSilently({"one", "app"}, wedged);
    fake_->putSilently({"one", "other"}, running());
    EXPECT_TRUE(backend.untilTold("one/other"));
    EXPECT_TRUE(backend.told("one/app")) << "it was told, and its process lives";
    EXPECT_EQ(backend.state(), "ready");
}

}  // namespace
}  // namespace recap::test
