// SPDX-License-Identifier: Apache-2.0
// Questions to a polkit that answers late, badly or never.
#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {
namespace {

using Names = std::vector<std::string>;

// A process of user nobody that asks `count` times at once, and says what it was answered, a line each.
class Asking {
public:
    explicit Asking(int count, const std::string& method = "Run", const Values& options = {}) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        child_ = ::fork();
        if (child_ == 0) {
            ::close(ends[0]);
            live(ends[1], count, method, options);
            ::_exit(0);
        }
        ::close(ends[1]);
        said_ = UniqueFd(ends[0]);
    }
    ~Asking() { leave(); }
    void leave() {
        if (child_ > 0) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
        child_ = -1;
    }
    // What has been said so far.
    const std::vector<std::string>& said() {
        while (waitReadable(said_.get(), Deadline(std::chrono::milliseconds(0)))) {
            char text[4096];
            const ssize_t count = ::read(said_.get(), text, sizeof text);
            if (count <= 0) break;
            for (ssize_t i = 0; i < count; ++i) {
                if (text[i] == '\n')
                    lines_.push_back(std::exchange(line_, {}));
                else
                    line_ += text[i];
            }
        }
        return lines_;
    }

private:
    static void live(int out, int count, const std::string& method, const Values& options) {
        if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) return;
        auto bus = sdbus::createSystemBusConnection();
        auto proxy = sdbus::createProxy(*bus, "org.recap1", "/org/recap1");
        const auto say = [out](const sdbus::Error* error) {
            const std::string line = (error == nullptr ? "ok" : error->getName() + ": " + error->getMessage()) + "\n";
            [[maybe_unused]] const auto written = ::write(out, line.data(), line.size());
        };
        for (int i = 0; i < count; ++i) {
            if (method == "InstallCapsule")
                proxy->callMethodAsync(method)
                    .onInterface(kManager)
                    .withArguments(std::string("its-name"), Values())
                    .uponReplyInvoke([say](const sdbus::Error* error, const sdbus::ObjectPath&) { say(error); });
            else
                proxy->callMethodAsync(method)
                    .onInterface(kManager)
                    .withArguments(std::string("tool"), std::string("process:1"), Names(), options)
                    .uponReplyInvoke([say](const sdbus::Error* error, const sdbus::ObjectPath&) { say(error); });
        }
        bus->enterEventLoop();
    }

    pid_t child_ = -1;
    UniqueFd said_;
    std::string line_;
    std::vector<std::string> lines_;
};

using AuthorityTest = House;

TEST_F(AuthorityTest, OneUsersQuestionsLeaveRoomForOthers) {
    Asking asking(12);
    turnUntil([&] { return asking.said().size() >= 4 && polkit.questions.size() >= 8; });
    EXPECT_EQ(polkit.questions.size(), 8u);
    for (const auto& line : asking.said()) EXPECT_EQ(errorName(line), "org.recap1.Error.Busy") << line;
    // Root is not asked about.
    EXPECT_EQ(callManager<sdbus::ObjectPath>("Run", std::string("tool"), std::string("process:1"), Names(), Values()).outcome, "ok");
    // An answer makes room.
    for (auto& question : polkit.questions) question.answer.returnResults(FakePolkit::Verdict{true, false, {}});
    turnUntil([&] { return asking.said().size() >= 12; });
    EXPECT_EQ(std::count(asking.said().begin(), asking.said().end(), "ok"), 8);
    Asking again(1);
    turnUntil([&] { return polkit.questions.size() == 9; });
}

TEST_F(AuthorityTest, WhoLeavesIsNotAskedAboutAnyMore) {
    Asking asking(8);
    turnUntil([&] { return polkit.questions.size() == 8; });
    asking.leave();
    turnUntil([&] { return polkit.cancelled.size() == 8; });
    for (const auto& question : polkit.questions)
        EXPECT_EQ(std::count(polkit.cancelled.begin(), polkit.cancelled.end(), question.cancellation), 1);
    Asking again(1);
    turnUntil([&] { return polkit.questions.size() == 9; });
    EXPECT_TRUE(runs.submitted.empty());
}

TEST_F(AuthorityTest, APolkitThatFailsIsNoRefusal) {
    polkit.mood = FakePolkit::Mood::Broken;
    Asking asking(1);
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(errorName(asking.said()[0]), "org.recap1.Error.Unavailable") << asking.said()[0];
    turnUntil([&] { return polkit.cancelled == Names{polkit.questions.at(0).cancellation}; });  // it may be asking still
}

TEST_F(AuthorityTest, WhatIsThrownAfterPolkitsYesIsTheAnswer) {
    polkit.mood = FakePolkit::Mood::Yes;
    runs.broken = true;
    Asking asking(1);
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(asking.said()[0], "org.recap1.Error.Internal: broken inside");
}

TEST_F(AuthorityTest, PolkitIsToldWhatTheCallerChose) {
    polkit.mood = FakePolkit::Mood::Yes;
    const Values chosen{{"view", sdbus::Variant(std::string("none"))},
                        {"user", sdbus::Variant(std::string("root"))},
                        {"processes", sdbus::Variant(std::string("join"))},
                        {"image", sdbus::Variant(std::string("recap/other:1"))}};
    Asking plain(1);
    turnUntil([&] { return !plain.said().empty(); });
    Asking asking(1, "Run", chosen);
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(polkit.questions.at(0).action, "org.recap1.run");
    EXPECT_EQ(polkit.questions.at(0).details.at("digest"), images.image.digest);
    EXPECT_EQ(polkit.questions.at(1).action, "org.recap1.run-privileged");
    const auto& details = polkit.questions.at(1).details;
    EXPECT_EQ(details.at("user"), "root");
    EXPECT_EQ(details.at("namespaces"), "pid");
    EXPECT_EQ(details.at("processes"), "join");
    EXPECT_EQ(details.at("view"), "none");
    EXPECT_EQ(details.at("digest"), "") << "another image than the manifest's, that is not here";
    EXPECT_EQ(runs.submitted.at(1).adjustments.user, "root");
}

TEST_F(AuthorityTest, PolkitIsToldWhatIsTheHosts) {
    polkit.mood = FakePolkit::Mood::Yes;
    capsules.info.namespaces = {"net", "uts"};
    Target target;
    target.id = {"process", "1"};
    target.pid = ::getpid();
    targets.state({"process", "process", BackendState::Ready, "", 0});
    targets.added(target);
    ASSERT_EQ(launcher.inspects.size(), 1u);
    TargetFacts facts;
    facts.startTime = (*targets.resolve("process:1"))->startTime;
    facts.hostNamespaces = 1 | 2 | 16;
    launcher.inspects[0](facts);
    Asking joins(1);
    turnUntil([&] { return !joins.said().empty(); });
    EXPECT_EQ(polkit.questions.at(0).action, "org.recap1.run-privileged");
    EXPECT_EQ(polkit.questions.at(0).details.at("host-namespaces"), "net");
    EXPECT_EQ(runs.submitted.at(0).authorised->hostNamespaces, 2u);
    capsules.info.namespaces = {"uts"};
    Asking beside(1);
    turnUntil([&] { return !beside.said().empty(); });
    EXPECT_EQ(polkit.questions.at(1).action, "org.recap1.run");
    EXPECT_EQ(polkit.questions.at(1).details.at("host-namespaces"), "");
}

TEST_F(AuthorityTest, PolkitIsToldWhichCapsuleIsInstalled) {
    polkit.mood = FakePolkit::Mood::Yes;
    Asking asking(1, "InstallCapsule");
    turnUntil([&] { return !asking.said().empty(); });
    EXPECT_EQ(asking.said()[0], "ok");
    EXPECT_EQ(polkit.questions.at(0).action, "org.recap1.manage-capsules");
    EXPECT_EQ(polkit.questions.at(0).details.at("capsule"), "its-name");
}

}  // namespace
}  // namespace recap::test
