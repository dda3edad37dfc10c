// SPDX-License-Identifier: Apache-2.0
// Watches over a launcher that is answered for by hand, at a time that a test turns.
#pragma once

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "daemon/triggers/watches.hpp"
#include "tests/support/files.hpp"
#include "tests/unit/daemon/triggers/fakes.hpp"
#include "tests/unit/daemon/triggers/watched_files.hpp"

namespace recap::test {

struct AskedByHand : TargetWatches {
    struct Question {
        TargetId target;
        WatchSpec what;
        std::function<void(Result<OpenedWatch>)> reply;
    };
    std::deque<Question> asked;  // and not answered
    std::size_t questions = 0;   // in all
    std::uint64_t lastId = 0;
    std::vector<std::uint64_t> unwatched;

    void watch(const Target& target, const WatchSpec& what, std::function<void(Result<OpenedWatch>)> reply) override {
        ++questions;
        asked.push_back({target.id, what, std::move(reply)});
    }
    void unwatch(std::uint64_t id) override { unwatched.push_back(id); }

    void answer(Result<OpenedWatch> opened) {
        ASSERT_FALSE(asked.empty());
        const Question question = std::move(asked.front());
        asked.pop_front();
        question.reply(std::move(opened));
    }
    std::uint64_t answer(WatchForm form, UniqueFd fd) {
        OpenedWatch opened;
        opened.id = ++lastId;
        opened.form = form;
        opened.fd = std::move(fd);
        opened.stall = asked.empty() ? opened.stall : asked.front().what.stall * 2;  // as a kernel that takes whole 2 s only
        opened.window = asked.empty() ? opened.window : asked.front().what.window * 2;
        answer(std::move(opened));
        return lastId;
    }
    // What is counted there; it goes with its reader.
    int answerCounter() {
        UniqueFd counter(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        const int fd = counter.get();
        answer(WatchForm::Counter, std::move(counter));
        return fd;
    }
    std::uint64_t answerFile(const std::filesystem::path& file) { return answer(WatchForm::Changes, watchOf(file)); }
    void refuse(Errc code, const std::string& why) { answer(fail(code, why)); }
};

// One end of a connection has what epoll(7) calls EPOLLPRI once the other sends a byte out of band.
struct Urgent {
    UniqueFd mine, theirs;
    Urgent() {
        const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* plain = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(::bind(listener.get(), plain, size), 0);
        EXPECT_EQ(::listen(listener.get(), 1), 0);
        EXPECT_EQ(::getsockname(listener.get(), plain, &size), 0);
        mine = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::connect(mine.get(), plain, size), 0);
        theirs = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    }
    void send() const { EXPECT_EQ(::send(mine.get(), "!", 1, MSG_OOB), 1); }
    static void taken(int fd) {
        char byte = 0;
        (void)::recv(fd, &byte, 1, MSG_OOB);
    }
};

struct WatchesTest : World {
    struct Shot {
        std::string capsule;
        Occurrence occurrence;
        std::vector<TargetId> on;
        std::string fact(const std::string& key) const { return occurrence.facts.contains(key) ? occurrence.facts.at(key) : "none"; }
    };
    std::vector<Shot> shots;
    AskedByHand opener;
    std::uint64_t now = std::uint64_t{1} << 50;  // no timer of the loop's comes by itself
    std::uint64_t since = 1;                     // enabled long ago
    std::optional<std::uint64_t> kills = 0;      // in memory.events
    std::optional<std::string> kept;             // by the recapd of before
    std::unique_ptr<Events> events, eventsBefore;
    std::unique_ptr<Watches> watches, watchesBefore;

    CapsuleInfo& armed(const std::string& name, EventSchedule event, const std::string& labels = "") {
        CapsuleInfo& capsule = capsules.add(name);
        capsule.enabled = true;
        capsule.schedule.events.push_back(std::move(event));
        capsule.selection.labels = parseLabels(labels).value();
        return capsule;
    }
    // With so many targets.
    void open(int count = 1) {
        const auto fire = [this](const CapsuleInfo& capsule, const Occurrence& occurrence,
                                 const std::vector<TargetId>& on) -> Result<BatchId> {
            shots.push_back({capsule.name, occurrence, on});
            return "batch";
        };
        const auto armedSince = [this](const CapsuleInfo& capsule) { return capsule.enabled ? since : 0; };
        EventParts parts{loop.get(), targets, capsules, runs, fire, armedSince};
        parts.now = [this] { return now; };
        parts.boot = "boot";
        parts.recall = [this]() -> Result<std::string> {
            if (!kept) return fail(Errc::NotFound, "none");
            return *kept;
        };
        parts.keep = [this](const std::string& text) -> Result<void> {
            kept = text;
            return {};
        };
        events = Events::create(parts).value();
        WatchParts watched{loop.get(), *events, targets, opener, runs, capsules};
        watched.now = parts.now;
        watched.kills = [this](int fd) {
            Urgent::taken(fd);
            return kills;
        };
        watches = Watches::create(watched).value();
        targets.listen(*watches);
        targets.listen(*events);
        launcher.here = true;
        if (count > 0 || processes.empty()) have(count);
        events->begin();
        watches->refresh();
    }
    // The next recapd, with the same targets; the ledger has the rows of the one before.
    void restart() {
        for (const auto& [id, run] : runs.runs) runs.listed.push_back(run);
        for (const auto& shot : shots) {
            RunRecord& row = runs.listed.emplace_back();
            row.request.capsule = shot.capsule;
            row.request.occurrence = std::make_shared<const Occurrence>(shot.occurrence);
        }
        opener.asked.clear();
        watchesBefore = std::move(watches);
        eventsBefore = std::move(events);
        open(0);
    }
    void refresh() {
        events->refresh();
        watches->refresh();
    }
    // Lets time go by, and what is due then happen.
    void pass(std::chrono::microseconds time) {
        now += static_cast<std::uint64_t>(time.count());
        for (int i = 0; i < 20; ++i) watches->tick();
        events->tellMissed();
    }
    // What descriptors have to tell is heard.
    void hear() { turn(loop); }
    std::string problem(const std::string& capsule) const { return watches->problemOf(capsule, 0); }
};

}  // namespace recap::test
