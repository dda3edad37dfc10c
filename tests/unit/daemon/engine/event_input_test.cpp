// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/event_input.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "fakes.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;

std::string readAll(int fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(fd, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(size));
    return all;
}

Occurrence signalOf(std::map<std::string, std::string> facts = {{"arg0", "web"}, {"member", "Done"}}) {
    return {"dbus-signal", 1767225600000000, ":1.7 42", std::move(facts)};
}

struct EventInputTest : testing::Test {
    Spine spine;
    // What the launcher is given as stdin by a run of this request; null: nothing.
    std::shared_ptr<UniqueFd> stdinOf(RunRequest request) {
        if (spine.targets.list().empty()) spine.haveTarget();
        request.trigger = Trigger::Event;
        const RunId id = spine.engine->submit(std::move(request)).value();
        turnUntil(spine.loop.get(), [&] { return !spine.launcher.starts.empty() && spine.launcher.starts.back().first.id == id; });
        return spine.launcher.starts.back().first.request.stdio[0];
    }
    RunRequest request() const {
        RunRequest made = spine.request();
        made.occurrence = std::make_shared<const Occurrence>(signalOf());
        return made;
    }
};

TEST(EventInput, IsOneObjectOnOneLine) {
    EXPECT_EQ(occurrenceText(signalOf()),
              "{\"on\":\"dbus-signal\",\"time\":1767225600000000,\"facts\":{\"arg0\":\"web\",\"member\":\"Done\"}}\n");
    EXPECT_EQ(occurrenceText(signalOf({})), "{\"on\":\"dbus-signal\",\"time\":1767225600000000,\"facts\":{}}\n");
    const auto odd = nlohmann::json::parse(occurrenceText(signalOf({{"path", "/a\n\"\xff"}})));
    EXPECT_EQ(odd.at("facts").at("path"), "/a\n\"\xef\xbf\xbd") << "what is not UTF-8 is told as such";
}

TEST(EventInput, APipeHasItAllAndThenItsEnd) {
    for (const std::size_t size : {1u, 4096u, 4097u, 60'000u}) {
        const std::string text(size, 'x');
        const auto pipe = filledPipe(text);
        ASSERT_TRUE(pipe) << pipe.error().message;
        EXPECT_EQ(::fcntl(pipe->get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY) << "the capsule's reads wait as any other's";
        EXPECT_EQ(readAll(pipe->get()), text);
    }
}

TEST_F(EventInputTest, IsARunsStdin) {
    const auto given = stdinOf(request());
    ASSERT_TRUE(given && *given);
    struct stat info {};
    ASSERT_EQ(::fstat(given->get(), &info), 0);
    EXPECT_TRUE(S_ISFIFO(info.st_mode)) << "the launcher hands in no files";
    EXPECT_EQ(readAll(given->get()), occurrenceText(signalOf()));
}

TEST_F(EventInputTest, LeavesAStdinThatIsUsedAsItIs) {
    auto open = request();
    open.openStdin = true;
    EXPECT_EQ(stdinOf(open), nullptr);
    auto given = request();
    given.stdio[0] = std::make_shared<UniqueFd>(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(stdinOf(given), given.stdio[0]);
    auto none = request();
    none.occurrence = nullptr;
    EXPECT_EQ(stdinOf(none), nullptr);
    RunPlan terminal;
    terminal.request = request();
    terminal.tty = true;
    EXPECT_TRUE(giveOccurrence(terminal));
    EXPECT_EQ(terminal.request.stdio[0], nullptr);
}

TEST_F(EventInputTest, OfARunThatIsPlannedOnceMoreIsWholeAgain) {
    const auto first = stdinOf(request());
    readAll(first->get());
    TargetFacts other = Spine::facts();
    other.cgroup = "/elsewhere";
    const std::size_t starts = spine.launcher.starts.size();
    spine.launcher.starts.back().second(fail(Errc::Denied, "its cgroup differs"));
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.inspects.empty(); });
    for (auto& reply : std::exchange(spine.launcher.inspects, {})) reply(other);
    turnUntil(spine.loop.get(), [&] { return spine.launcher.starts.size() > starts; });
    const auto again = spine.launcher.starts.back().first.request.stdio[0];
    ASSERT_TRUE(again && *again);
    EXPECT_EQ(readAll(again->get()), occurrenceText(signalOf()));
}

}  // namespace
}  // namespace recap::test
