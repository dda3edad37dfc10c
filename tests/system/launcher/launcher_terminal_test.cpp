// SPDX-License-Identifier: Apache-2.0
// What the launcher holds of a run's standard streams: its terminal, its pipes, who is attached, and the log beside.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <optional>
#include <thread>

#include "tests/system/launcher/launcher_fixture.hpp"

using namespace recap;
using namespace recap::launcher;
using namespace recap::test;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

struct Ends {
    UniqueFd in, out, err;
};

// A byte that tells its place: the test payload's "pattern".
std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t at = 0; at < size; ++at) bytes[at] = static_cast<char>(at ^ (at >> 8) ^ (at >> 16));
    return bytes;
}

// Until the text has `end` at its end, or the stream is at its own; throws where neither comes.
std::string readTo(int fd, std::string_view end) {
    std::string text;
    const Deadline deadline{kPatience};
    char buffer[65536];
    while (end.empty() || !text.ends_with(end)) {
        if (!waitReadable(fd, deadline))
            throw std::runtime_error("nothing follows: " + text.substr(text.size() - std::min<std::size_t>(text.size(), 500)));
        const ssize_t size = ::read(fd, buffer, end.empty() ? sizeof buffer : 1);
        if (size <= 0) break;
        text.append(buffer, static_cast<std::size_t>(size));
    }
    return text;
}
std::string readAll(int fd) { return readTo(fd, {}); }

void type(const UniqueFd& in, std::string_view text) {
    ASSERT_EQ(::write(in.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

class LauncherTerminal : public LauncherTest {
protected:
    Plan onTerminal(std::vector<std::string> words) {
        Plan asked = plan(std::move(words));
        asked.stdio.fill(Stdio::Terminal);
        asked.rows = 24;
        asked.columns = 80;
        return asked;
    }
    Plan withPipe(std::vector<std::string> words) {
        Plan asked = plan(std::move(words));
        asked.stdio[0] = Stdio::Pipe;
        return asked;
    }
    UniqueFd started(const Plan& asked) {
        auto log = startPlan(*client_, asked, nginx_->pid());
        if (!log) throw std::runtime_error("START: " + log.error().message);
        client_->waitFor(asked.runId, RunPhase::Executing);
        return std::move(*log);
    }
    Result<Ends> tryAttach(const Plan& asked, bool takeOver = false, std::uint64_t replay = 0) {
        std::vector<UniqueFd> fds;
        auto attached = client_->ask<Empty>(Verb::Attach, AttachRequest{asked.runId, takeOver, replay}, {}, &fds);
        if (!attached) return forward(std::move(attached));
        if (fds.size() != 3) return fail(Errc::Internal, std::to_string(fds.size()) + " descriptors");
        return Ends{std::move(fds[0]), std::move(fds[1]), std::move(fds[2])};
    }
    Ends attach(const Plan& asked, bool takeOver = false, std::uint64_t replay = 0) {
        auto ends = tryAttach(asked, takeOver, replay);
        if (!ends) throw std::runtime_error("ATTACH: " + ends.error().message);
        return std::move(*ends);
    }
    // START with these ends attached already.
    Ends startAttached(Plan& asked) {
        int in[2], out[2];
        for (int* pair : {in, out})
            if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw std::runtime_error("socketpair");
        const UniqueFd theirIn{in[0]}, theirOut{out[1]};
        asked.attached = 3;
        const UniqueFd pidfd = openPidfd(nginx_->pid());
        Ends ends{UniqueFd{in[1]}, UniqueFd{out[0]}, {}};
        const auto begun = client_->ask<Started>(Verb::Start, asked, {pidfd.get(), theirIn.get(), theirOut.get()});
        if (!begun) throw std::runtime_error("START: " + begun.error().message);
        return ends;
    }
    Result<void> resize(const Plan& asked, std::uint32_t rows, std::uint32_t columns) {
        auto resized = client_->ask<Empty>(Verb::Resize, ResizeRequest{asked.runId, rows, columns});
        if (!resized) return forward(std::move(resized));
        return {};
    }
    Finished ended(const Plan& asked, int log = -1) {
        Finished finished = finish(*client_, asked.runId, log);
        EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{asked.runId}));
        return finished;
    }
    Finished stopped(const Plan& asked, int log = -1) {
        EXPECT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{asked.runId, 0}));
        return ended(asked, log);
    }
};

}  // namespace

TEST_F(LauncherTerminal, IsThePayloadsOwnAndNobodyElses) {
    for (const Processes processes : {Processes::None, Processes::Observe}) {
        Plan asked = onTerminal({"terminal"});
        asked.processes = processes;
        asked.uid = asked.gid = 4242;
        const Finished finished = run(asked);
        auto found = values(finished.out);
        EXPECT_EQ(found["terminals"], "1 1 1\r") << finished.out << finished.report.step;
        EXPECT_EQ(found["name"], "/dev/pts/0\r");
        EXPECT_EQ(found["owner"], "4242 600\r");
        EXPECT_EQ(found["foreground"], "1\r");
        EXPECT_EQ(found["size"], "24 80\r");
        EXPECT_EQ(found["/dev/tty"], "ok\r");
        EXPECT_EQ(found["/dev/console"], "No such file or directory\r");
        EXPECT_EQ(found["/dev/pts/1"], "No such file or directory\r") << "an instance of its own has one terminal";
        EXPECT_EQ(found["more"], "7 No space left on device\r") << "a capsule's terminals are counted";
    }
}

TEST_F(LauncherTerminal, IsNotThereWhereNobodyAskedForOne) {
    const Finished finished = payload({"terminal"});
    auto found = values(finished.out);
    EXPECT_EQ(found["terminals"], "0 0 0");
    EXPECT_EQ(found["/dev/tty"], "No such device or address");
    EXPECT_EQ(found["more"], "0 No such file or directory");
}

TEST_F(LauncherTerminal, CarriesMegabytesBothWaysUnharmed) {
    constexpr std::size_t kSize = 1u << 20;
    Plan asked = onTerminal({"raw", std::to_string(kSize)});
    asked.logMax = 64 << 10;
    const UniqueFd log = started(asked);
    Ends ends = attach(asked, false, 5);
    ASSERT_EQ(readTo(ends.out.get(), "ready"), "ready") << "what was said before: from the last bytes, or after";
    const std::string sent = pattern(kSize);
    std::thread typist([&] {
        for (std::size_t put = 0; put < sent.size();) {
            const ssize_t now = ::write(ends.in.get(), sent.data() + put, sent.size() - put);
            if (now <= 0) break;
            put += static_cast<std::size_t>(now);
        }
    });
    const std::string back = readAll(ends.out.get());
    typist.join();
    EXPECT_TRUE(back == sent) << back.size() << " bytes came back";
    const Finished finished = ended(asked, log.get());
    EXPECT_EQ(finished.report.value, 0);
    EXPECT_TRUE(finished.report.logTruncated);
    EXPECT_TRUE(finished.out == ("ready" + sent).substr(0, finished.out.size())) << "the log has the beginning";
    EXPECT_GT(finished.out.size(), 60000u);
}

TEST_F(LauncherTerminal, TellsThePayloadOfAnotherSize) {
    const Plan asked = onTerminal({"sizes", "2"});
    const UniqueFd log = started(asked);
    const Ends ends = attach(asked, false, 8192);
    readTo(ends.out.get(), "size: 24 80\r\n");
    ASSERT_TRUE(resize(asked, 50, 132));
    readTo(ends.out.get(), "size: 50 132\r\n");
    EXPECT_EQ(name(resize(asked, 70000, 1).error().code), "InvalidArgument");
    ASSERT_TRUE(resize(asked, 1, 65535));
    EXPECT_EQ(readAll(ends.out.get()), "size: 1 65535\r\n");
    EXPECT_EQ(ended(asked, log.get()).out, "size: 24 80\r\nsize: 50 132\r\nsize: 1 65535\r\n");
}

TEST_F(LauncherTerminal, ControlsJobsByTheKeysThatItIsTyped) {
    const Plan asked = onTerminal({"job"});
    const UniqueFd log = started(asked);
    const Ends ends = attach(asked, false, 8192);
    readTo(ends.out.get(), "job 1\r\n");
    type(ends.in, "\x1a");
    readTo(ends.out.get(), "stopped 20\r\n");
    type(ends.in, "fg\n");
    readTo(ends.out.get(), "continued 1\r\n");
    type(ends.in, "\x03");
    readTo(ends.out.get(), "ended 2\r\n");
    EXPECT_EQ(ended(asked, log.get()).report.value, 0);
}

TEST_F(LauncherTerminal, PassesTheLauncherAtNothingThatThePayloadDoesToIt) {
    const Plan asked = onTerminal({"abuse"});
    const UniqueFd log = started(asked);
    const Ends ends = attach(asked, false, 8192);
    auto found = values(readTo(ends.out.get(), "WEIRD\r\n"));
    for (const char* denied : {"push", "push, another way", "discipline", "console", "hangup"})
        EXPECT_EQ(found[denied], "Operation not permitted\r") << denied;
    EXPECT_EQ(found["packet"], "Inappropriate ioctl for device\r");
    EXPECT_EQ(found["exclusive"], "ok\r");
    for (int i = 0; i < 100; ++i) type(ends.in, std::string(600, 'z'));  // it reads none of it
    ASSERT_TRUE(client_->ask<RunList>(Verb::List, RunRef{})) << "the launcher answers as ever";
    const Finished finished = stopped(asked, log.get());
    EXPECT_EQ(finished.report.left, std::vector<std::string>{});
    EXPECT_THAT(finished.out, HasSubstr("WEIRD"));
}

TEST_F(LauncherTerminal, StaysWhileThePayloadHasItClosed) {
    const Finished finished = run(onTerminal({"leave"}));
    EXPECT_EQ(finished.report.value, 0);
    EXPECT_THAT(finished.out, ::testing::MatchesRegex("leaving [0-9]+\r\nback [0-9]+\r\n"));
}

TEST_F(LauncherTerminal, IsAttachedToFromTheStartByGivenSockets) {
    Plan asked = onTerminal({"terminal"});
    const Ends ends = startAttached(asked);
    const std::string said = readAll(ends.out.get());
    EXPECT_EQ(values(said)["name"], "/dev/pts/0\r") << said;
    EXPECT_EQ(ended(asked).report.value, 0);
}

TEST_F(LauncherTerminal, AttachesOneAtATimeAndLetsAnotherTakeOver) {
    const Plan asked = onTerminal({"job"});
    const UniqueFd log = started(asked);
    const Ends first = attach(asked, false, 8192);
    readTo(first.out.get(), "job 1\r\n");
    const auto refused = tryAttach(asked);
    ASSERT_FALSE(refused);
    EXPECT_EQ(name(refused.error().code), "Busy") << refused.error().message;
    const Ends second = attach(asked, true, 4);
    EXPECT_EQ(readAll(first.out.get()), "") << "its end, and nothing more";
    char byte = 'x';
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_LT(::write(first.in.get(), &byte, 1), 0);
    EXPECT_EQ(readTo(second.out.get(), "1\r\n"), " 1\r\n") << "the last four bytes";
    EXPECT_EQ(readAll(second.err.get()), "") << "a terminal has one output";
    type(second.in, "\x03");
    readTo(second.out.get(), "ended 2\r\n");
    ended(asked, log.get());
}

TEST_F(LauncherTerminal, GoesOnDetachedAndIsFoundAgain) {
    const Plan asked = onTerminal({"job"});
    const UniqueFd log = started(asked);
    {
        const Ends ends = attach(asked, false, 8192);
        readTo(ends.out.get(), "job 1\r\n");
        type(ends.in, "\x1a");
        readTo(ends.out.get(), "stopped 20\r\n");
    }
    // Detached once the launcher has seen it; then there is room for another.
    std::optional<Ends> again;
    ASSERT_TRUE(waitUntil(
        [&] {
            auto ends = tryAttach(asked, false, 8192);
            if (ends) again = std::move(*ends);
            return ends.has_value();
        },
        Deadline{kPatience}));
    EXPECT_THAT(readTo(again->out.get(), "stopped 20\r\n"), HasSubstr("job 1")) << "the last bytes, from before";
    type(again->in, "fg\n");
    readTo(again->out.get(), "continued 1\r\n");
    type(again->in, "\x03");
    readTo(again->out.get(), "ended 2\r\n");
    EXPECT_EQ(ended(asked, log.get()).report.value, 0);
}

TEST_F(LauncherTerminal, OutlivesTheConnectionThatStartedIt) {
    const Plan asked = onTerminal({"job"});
    { const UniqueFd log = started(asked); }
    client_ = std::make_unique<LauncherClient>(launcher_->socket());
    const Ends ends = attach(asked, false, 8192);
    readTo(ends.out.get(), "job 1\r\n");
    type(ends.in, "\x03");
    readTo(ends.out.get(), "ended 2\r\n");
    ended(asked);
}

TEST_F(LauncherTerminal, RefusesWhatCannotBeAttachedToOrResized) {
    Plan given = plan({"rest"});
    given.stdio = {Stdio::Null, Stdio::Null, Stdio::Null};
    started(given);
    const auto nothing = tryAttach(given);
    ASSERT_FALSE(nothing);
    EXPECT_EQ(name(nothing.error().code), "NotFound");
    EXPECT_THAT(nothing.error().message, HasSubstr("nothing of it can be attached to"));
    const auto sizeless = resize(given, 24, 80);
    ASSERT_FALSE(sizeless);
    EXPECT_THAT(sizeless.error().message, HasSubstr("has no terminal"));
    EXPECT_TRUE(client_->ask<Empty>(Verb::Stop, StopRequest{given.runId, 0}));
    finish(*client_, given.runId, -1);
    const auto late = tryAttach(given);
    ASSERT_FALSE(late);
    EXPECT_THAT(late.error().message, HasSubstr("has ended"));
    EXPECT_TRUE(client_->ask<Empty>(Verb::Ack, RunRef{given.runId}));
    EXPECT_EQ(name(tryAttach(given).error().code), "NotFound");
}

TEST_F(LauncherTerminal, TakesOnlyStreamSocketsToBeAttachedFromTheStart) {
    const TempDir folder;
    const std::string fifo = (folder.path() / "fifo").string();
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    const UniqueFd named{::open(fifo.c_str(), O_RDWR | O_CLOEXEC)}, file{::open("/etc/passwd", O_RDONLY | O_CLOEXEC)};
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd read{ends[0]}, write{ends[1]}, pidfd = openPidfd(nginx_->pid());
    const UniqueFd datagrams{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)}, inet{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    Plan asked = onTerminal({"terminal"});
    asked.attached = 1;
    for (const int fd : {named.get(), file.get(), read.get(), write.get(), datagrams.get(), inet.get()}) {
        const auto refused = client_->ask<Started>(Verb::Start, asked, {pidfd.get(), fd});
        ASSERT_FALSE(refused);
        EXPECT_EQ(name(refused.error().code), "InvalidArgument") << refused.error().message;
    }
    EXPECT_FALSE(client_->ask<Started>(Verb::Start, asked, {pidfd.get()})) << "a descriptor too few";
}

TEST_F(LauncherTerminal, StopsReadingWhileWhoIsAttachedDoesNot) {
    constexpr std::size_t kSize = 4u << 20;
    Plan asked = onTerminal({"pattern", std::to_string(kSize)});
    asked.stdio = {Stdio::Pipe, Stdio::Log, Stdio::Log};
    asked.rows = asked.columns = 0;
    asked.logMax = 1 << 20;
    const Ends ends = startAttached(asked);
    client_->waitFor(asked.runId, RunPhase::Executing);
    // It is held back: the log, which takes all that was read, is as long as the pipes and this buffer together, and stays so.
    std::vector<UniqueFd> log;
    ASSERT_TRUE(client_->ask<Empty>(Verb::Log, RunRef{asked.runId}, {}, &log));
    const auto size = [&] {
        struct stat about {};
        ::fstat(log.at(0).get(), &about);
        return about.st_size;
    };
    ASSERT_TRUE(waitUntil([&] { return size() >= 64 << 10; }, Deadline{kPatience}));
    for (int turn = 0; turn < 300; ++turn) ASSERT_TRUE(client_->ask<RunList>(Verb::List, RunRef{}));  // each a chance to read on
    EXPECT_LT(size(), 512 << 10);
    const std::string said = readAll(ends.out.get());
    EXPECT_TRUE(said == pattern(kSize)) << said.size();
    const Finished finished = ended(asked, log.at(0).get());
    EXPECT_EQ(finished.report.value, 0);
    EXPECT_EQ(finished.report.logBytes, kSize);
    EXPECT_TRUE(finished.report.logTruncated);
}

TEST_F(LauncherTerminal, NeverHoldsBackAPayloadThatOnlyTheLogListensTo) {
    Plan asked = withPipe({"pattern", "4194304"});
    asked.logMax = 4096;
    const Finished finished = run(asked);
    EXPECT_EQ(finished.report.value, 0);
    EXPECT_EQ(finished.report.logBytes, 4u << 20);
    EXPECT_TRUE(finished.out == pattern(finished.out.size()));
}

TEST_F(LauncherTerminal, GivesTheLastWordsToASlowReaderAfterTheEnd) {
    Plan asked = withPipe({"pattern", "100000"});
    const Ends ends = startAttached(asked);
    EXPECT_EQ(ended(asked).report.value, 0) << "ends though nobody has read, since all is in a pipe or with the launcher";
    EXPECT_TRUE(readAll(ends.out.get()) == pattern(100000));
}

TEST_F(LauncherTerminal, PassesOnTheEndOfAPipesInput) {
    const Plan asked = withPipe({"copy"});
    const UniqueFd log = started(asked);
    Ends ends = attach(asked);
    type(ends.in, std::string("\0\xff binary", 9));
    EXPECT_EQ(readTo(ends.out.get(), "binary"), std::string("\0\xff binary", 9));
    ends.in.reset();
    EXPECT_EQ(readAll(ends.out.get()), "");
    const Finished finished = ended(asked, log.get());
    EXPECT_EQ(finished.report.value, 0) << "its input ended, and so did it";
    EXPECT_EQ(finished.out, std::string("\0\xff binary", 9));
}

TEST_F(LauncherTerminal, KeepsAPipesInputOpenForTheNextWhoAttaches) {
    const Plan asked = withPipe({"copy"});
    const UniqueFd log = started(asked);
    { const Ends ends = attach(asked); }
    std::optional<Ends> again;
    ASSERT_TRUE(waitUntil(
        [&] {
            auto ends = tryAttach(asked);
            if (ends) again = std::move(*ends);
            return ends.has_value();
        },
        Deadline{kPatience}));
    type(again->in, "still here");
    EXPECT_EQ(readTo(again->out.get(), "still here"), "still here");
    again->in.reset();
    EXPECT_EQ(readAll(again->out.get()), "");
    EXPECT_EQ(ended(asked, log.get()).report.value, 0);
}

TEST_F(LauncherTerminal, SaysSoWhereARunTakesNoInput) {
    const Plan asked = plan({"rest"});
    const UniqueFd log = started(asked);
    const Ends ends = attach(asked, false, 100);
    readTo(ends.out.get(), "resting\n");
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_LT(::write(ends.in.get(), "x", 1), 0);
    EXPECT_EQ(errno, EPIPE);
    stopped(asked, log.get());
}

TEST_F(LauncherTerminal, RecordsWhoeverIsAttached) {
    const Plan asked = onTerminal({"job"});
    const UniqueFd log = started(asked);
    const Ends ends = attach(asked);
    EXPECT_THAT(launcher_->journal(), Contains(::testing::AllOf(HasSubstr("ATTACH"), HasSubstr(asked.runId))));
    stopped(asked, log.get());
}

// Descriptors of the launcher after many of all kinds: TearDown compares with before, this makes it worth it.
TEST_F(LauncherTerminal, LeavesNothingOpenAfterMany) {
    for (int i = 0; i < 50; ++i) {
        const Plan asked = onTerminal({"job"});
        const UniqueFd log = started(asked);
        const Ends ends = attach(asked, false, 8192);
        if (i % 2 == 0) readTo(ends.out.get(), "job 1\r\n");
        stopped(asked, log.get());
    }
}
