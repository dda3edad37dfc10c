// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <fstream>

#include "fakes.hpp"

namespace recap::test {
namespace {

std::string text(const OutputChunk& chunk) { return {chunk.data.begin(), chunk.data.end()}; }

std::string readAll(Spine& spine, const UniqueFd& pipe) {
    ::fcntl(pipe.get(), F_SETFL, O_NONBLOCK);
    std::string all;
    bool open = true;
    turnUntil(spine.loop.get(), [&] {
        char buffer[4096];
        ssize_t count = 0;
        while ((count = ::read(pipe.get(), buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<std::size_t>(count));
        open = count != 0;
        return !open;
    });
    return all;
}

// A ustar member of a regular file, and the end of an archive.
std::string tarOf(const std::string& name, const std::string& bytes) {
    std::string header(512, '\0');
    const auto put = [&](std::size_t at, const std::string& value) { header.replace(at, value.size(), value); };
    const auto octal = [](std::uint64_t value, int digits) {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%0*lo", digits, value);
        return std::string(buffer);
    };
    put(0, name);
    put(100, octal(0644, 7));
    put(108, octal(0, 7));
    put(116, octal(0, 7));
    put(124, octal(bytes.size(), 11));
    put(136, octal(0, 11));
    put(148, "        ");
    put(156, "0");
    put(257, std::string("ustar\0", 6) + "00");
    unsigned sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put(148, octal(sum, 6) + std::string("\0 ", 2));
    std::string padded = bytes;
    padded.resize((bytes.size() + 511) / 512 * 512);
    return header + padded + std::string(1024, '\0');
}

UniqueFd pipeWith(const std::string& bytes) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd writing(ends[1]);
    EXPECT_EQ(::write(writing.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return UniqueFd(ends[0]);
}

TEST(Estate, OutputIsReadByStreamWhileTheRunIsUnderWayAndAfter) {
    Spine spine;
    UniqueFd log = memory(frame(1, "hello ") + frame(2, "oops") + frame(1, "world"));
    const int shared = ::fcntl(log.get(), F_DUPFD_CLOEXEC, 0);
    const RunId id = spine.startedRun(std::move(log));
    auto chunk = spine.engine->output(id, Stream::Stdout, 0, 100).value();
    EXPECT_EQ(text(chunk), "hello world");
    EXPECT_FALSE(chunk.eof);
    EXPECT_EQ(text(spine.engine->output(id, Stream::Stdout, 3, 5).value()), "lo wo");
    EXPECT_EQ(text(spine.engine->output(id, Stream::Stderr, 0, 100).value()), "oops");
    const std::string more = frame(1, "!");
    ASSERT_EQ(::write(shared, more.data(), more.size()), static_cast<ssize_t>(more.size()));
    ::close(shared);
    auto ended = report(id);
    ended.logBytes = 16;
    spine.engine->ended(ended);
    spine.untilReported();
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    chunk = spine.engine->output(id, Stream::Stdout, 0, 100).value();
    EXPECT_EQ(text(chunk), "hello world!");
    EXPECT_TRUE(chunk.eof);
    EXPECT_TRUE(std::filesystem::exists(spine.folder.path() + "/logs/" + id + ".log"));
}

TEST(Estate, AFrameThatIsHalfThereIsNotThereYet) {
    Spine spine;
    const RunId id = spine.startedRun(memory(frame(1, "whole") + frame(1, "half").substr(0, 7)));
    EXPECT_EQ(text(spine.engine->output(id, Stream::Stdout, 0, 100).value()), "whole");
}

TEST(Estate, ManySmallFramesAreFoundAgainAtAnyOffset) {
    std::string framed, plain;
    for (int i = 0; i < 60'000; ++i) {
        framed += frame(1, std::to_string(i % 10)) + frame(2, "e");
        plain += std::to_string(i % 10);
    }
    LogReader reader(memory(framed));
    for (const std::uint64_t offset : {0ul, 59'999ul, 31'234ul, 12ul, 59'000ul}) {
        const auto chunk = reader.read(Stream::Stdout, offset, 500, true).value();
        EXPECT_EQ(text(chunk), plain.substr(offset, 500)) << offset;
        EXPECT_EQ(chunk.eof, offset + 500 >= plain.size()) << offset;
    }
    EXPECT_TRUE(reader.read(Stream::Stdout, 60'000, 10, true).value().eof);
    EXPECT_TRUE(reader.read(Stream::Stdout, 1'000'000, 10, true).value().eof);
}

TEST(Estate, AnOpenedStreamFollowsTheRunToItsEnd) {
    Spine spine;
    UniqueFd log = memory(frame(1, "first "));
    const UniqueFd shared(::fcntl(log.get(), F_DUPFD_CLOEXEC, 0));
    const RunId id = spine.startedRun(std::move(log));
    const UniqueFd pipe = spine.engine->openOutput(id, Stream::Stdout).value();
    turn(spine.loop.get());
    const std::string more = frame(1, "second");
    ASSERT_EQ(::write(shared.get(), more.data(), more.size()), static_cast<ssize_t>(more.size()));
    auto ended = report(id);
    ended.logBytes = 12;
    spine.engine->ended(ended);
    EXPECT_EQ(readAll(spine, pipe), "first second");
}

TEST(Estate, ArtifactsAreCollectedThenListedAndOpened) {
    Spine spine;
    const RunId id = spine.startedRun();
    auto ended = report(id);
    ended.hasArtifacts = true;
    spine.engine->ended(ended);
    std::vector<Artifact> listed;
    bool answered = false;
    spine.engine->artifacts(id, [&](Result<std::vector<Artifact>> all) {
        answered = true;
        ASSERT_TRUE(all) << all.error().message;
        listed = *all;
    });
    EXPECT_FALSE(answered) << "asked before they were collected: the answer waits";
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.collects.empty(); });
    EXPECT_TRUE(spine.launcher.acks.empty());
    spine.launcher.collects.front()(pipeWith(tarOf("out/capture.pcap", "packets")));
    turnUntil(spine.loop.get(), [&] { return answered && !spine.launcher.acks.empty(); });
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0].name, "out/capture.pcap");
    EXPECT_EQ(listed[0].size, 7u);
    UniqueFd pipe;
    spine.engine->openArtifact(id, "out/capture.pcap", [&](Result<UniqueFd> opened) { pipe = std::move(opened).value(); });
    EXPECT_EQ(readAll(spine, pipe), "packets");
    spine.engine->openArtifact(id, "../../etc/shadow",
                               [&](const Result<UniqueFd>& opened) { EXPECT_EQ(opened.error().code, Errc::NotFound); });
}

TEST(Estate, ArtifactsAreIndexedOnceARun) {
    Spine spine;
    const RunId id = spine.startedRun();
    auto ended = report(id);
    ended.hasArtifacts = true;
    spine.engine->ended(ended);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.collects.empty(); });
    spine.launcher.collects.front()(pipeWith(tarOf("a", "bytes")));
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.acks.empty(); });
    spine.engine->artifacts(id, [](const Result<std::vector<Artifact>>& all) { EXPECT_EQ(all.value().size(), 1u); });
    // Indexed anew, it would have no member any more.
    std::fstream tar(spine.folder.path() + "/artifacts/" + id + ".tar", std::ios::in | std::ios::out | std::ios::binary);
    tar.write(std::string(512, '\0').data(), 512);
    tar.close();
    UniqueFd pipe;
    spine.engine->openArtifact(id, "a", [&](Result<UniqueFd> opened) {
        ASSERT_TRUE(opened) << opened.error().message;
        pipe = std::move(opened).value();
    });
    EXPECT_EQ(readAll(spine, pipe), "bytes");
}

TEST(Estate, WhatWasNotKeptWholeStaysWithTheLauncher) {
    Spine spine;
    const RunId id = spine.startedRun();
    auto ended = report(id);
    ended.hasArtifacts = true;
    spine.engine->ended(ended);
    turnUntil(spine.loop.get(), [&] { return !spine.launcher.collects.empty(); });
    spine.launcher.collects.front()(pipeWith(tarOf("a", "bytes").substr(0, 700)));
    Errc code = Errc::None;
    spine.engine->artifacts(id, [&](const Result<std::vector<Artifact>>& all) { code = all.error().code; });
    turnUntil(spine.loop.get(), [&] { return code != Errc::None; });
    EXPECT_EQ(code, Errc::Io);
    spine.untilReported();
    EXPECT_TRUE(spine.launcher.acks.empty());
}

}  // namespace
}  // namespace recap::test
