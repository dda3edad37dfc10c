// SPDX-License-Identifier: Apache-2.0
// What triggers speak to, driven by hand, and targets that are real processes.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/event.hpp"
#include "daemon/core/launcher.hpp"
#include "daemon/core/process.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/target_table.hpp"

namespace recap::test {

// A process that waits until it is no longer needed.
class Sleeper {
public:
    Sleeper() : pid_(::fork()) {
        if (pid_ == 0) {
            while (true) ::pause();
        }
    }
    ~Sleeper() { end(); }
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;
    pid_t pid() const { return pid_; }

private:
    pid_t pid_;
};

struct NoLauncher : Launcher {
    bool available() const override { return false; }
    void inspect(int, Reply<TargetFacts> reply) override { reply(away()); }
    void start(const RunPlan&, Reply<UniqueFd> reply) override { reply(away()); }
    void signal(const RunId&, int, Reply<void> reply) override { reply(away()); }
    void stop(const RunId&, std::chrono::microseconds, Reply<void> reply) override { reply(away()); }
    void attach(const RunId&, const AttachOptions&, Reply<AttachedEnds> reply) override { reply(away()); }
    void resize(const RunId&, std::uint32_t, std::uint32_t, Reply<void> reply) override { reply(away()); }
    void log(const RunId&, Reply<UniqueFd> reply) override { reply(away()); }
    void collect(const RunId&, Reply<UniqueFd> reply) override { reply(away()); }
    void ack(const RunId&) override {}
    void list(Reply<std::vector<LaunchedRun>> reply) override { reply(away()); }
    void importImage(UniqueFd, Reply<ImportedImage> reply) override { reply(away()); }
    void removeImage(const std::string&, Reply<void> reply) override { reply(away()); }
    void images(Reply<std::vector<AdmissionState>> reply) override { reply(away()); }

private:
    static tl::unexpected<Error> away() { return fail(Errc::Unavailable, "no launcher"); }
};

// Once it is here, it finds a process's start time and nothing else.
struct FewLauncher : NoLauncher {
    bool here = false;
    int inspected = 0;
    bool available() const override { return here; }
    void inspect(int pidfd, Reply<TargetFacts> reply) override {
        ++inspected;
        std::ifstream info("/proc/self/fdinfo/" + std::to_string(pidfd));
        TargetFacts facts;
        for (std::string word; info >> word;)
            if (pid_t pid = 0; word == "Pid:" && info >> pid) facts.startTime = pinProcess(pid).value().startTime;
        reply(facts);
    }
};

struct FewCapsules : CapsuleStore {
    std::map<std::string, CapsuleInfo, std::less<>> all;
    CapsuleInfo& add(const std::string& name) {
        all[name].name = name;
        return all[name];
    }
    Result<const CapsuleInfo*> find(std::string_view wanted) const override {
        const auto found = all.find(wanted);
        if (found == all.end()) return fail(Errc::NotFound, "no capsule '" + std::string(wanted) + "'");
        return &found->second;
    }
    std::vector<const CapsuleInfo*> list() const override {
        std::vector<const CapsuleInfo*> infos;
        for (const auto& [name, info] : all) infos.push_back(&info);
        return infos;
    }
    Result<std::string> install(std::string_view, bool) override { return fail(Errc::NotSupported, "not here"); }
    Result<void> remove(std::string_view) override { return fail(Errc::NotSupported, "not here"); }
    Result<void> reload() override { return {}; }
    Result<void> enable(std::string_view name, std::uint32_t uid) override {
        CapsuleInfo& info = all.find(name)->second;
        info.enabled = true;
        info.enabling = {uid, asks(info), microseconds(CLOCK_REALTIME), 0};
        return {};
    }
    Result<void> restore(std::string_view name, const Enabling& enabling) override {
        CapsuleInfo& info = all.find(name)->second;
        info.enabled = true;
        info.enabling = enabling;
        return {};
    }
    std::optional<Enabling> enablingOf(std::string_view name) const override {
        const auto found = all.find(name);
        return found == all.end() || !found->second.enabled ? std::nullopt : std::optional(found->second.enabling);
    }
    Result<void> disable(std::string_view name) override {
        if (const auto found = all.find(name); found != all.end()) found->second.enabled = false;
        return {};
    }
    void ranAsScheduled(std::string_view name) override { all.find(name)->second.enabling.last = microseconds(CLOCK_REALTIME); }
};

// A run table whose runs go on until the test ends them.
struct ManualRuns : RunTable {
    std::map<RunId, RunRecord> runs;
    std::vector<RunId> order;  // in which they were submitted
    std::vector<std::pair<RunId, std::string>> skipped;
    std::vector<RunId> stopped;
    std::vector<RunRecord> listed;  // as the ledger has them; each ended when it started
    std::uint64_t last = 0;         // when the last of them ended
    mutable int asked = 0;          // whether an event has been acted on
    std::vector<RunListener*> listeners;
    std::size_t room = 1000;                // that many may be under way
    std::set<std::string> unfit;            // targets that nothing can be run on
    std::map<RunId, std::string> expected;  // and their targets, until they are submitted or left out
    bool diskIsSlow = false;                // what is expected is durable when the test says so
    std::vector<std::function<void(Result<void>)>> notDurable;
    int ids = 0;

    std::size_t underWay() const {
        std::size_t count = 0;
        for (const auto& [id, run] : runs) count += run.state != RunState::Finished;
        return count;
    }
    RunId insert(RunRequest request, Outcome outcome = Outcome::NotStarted) {
        RunRecord run;
        run.report.outcome = outcome;
        run.id = request.expected.empty() ? newId() : request.expected;
        expected.erase(run.id);
        run.target = request.target;
        run.request = std::move(request);
        const RunId id = run.id;
        runs[id] = std::move(run);
        for (auto* listener : listeners) listener->submitted(id);
        return id;
    }
    Result<RunId> submit(RunRequest request) override {
        if (underWay() >= room) return fail(Errc::LimitExceeded, "no room");
        if (unfit.contains(request.target)) return fail(Errc::NotFound, "it has no root");
        order.push_back(insert(std::move(request)));
        runs[order.back()].handedOver = true;
        return order.back();
    }
    Result<std::vector<RunId>> expect(const RunRequest&, const std::vector<std::string>& targets,
                                      std::function<void(Result<void>)> durable) override {
        std::vector<RunId> all;
        for (const auto& target : targets) expected[all.emplace_back(newId())] = target;
        if (durable && diskIsSlow) notDurable.push_back(std::move(durable));
        if (durable && !diskIsSlow) durable({});
        return all;
    }
    // Denied ones and the like are among the skipped, by their outcome.
    Result<RunId> leaveOut(RunRequest request, Outcome outcome, std::string why) override {
        const RunId id = insert(std::move(request), outcome);
        runs[id].state = RunState::Finished;
        skipped.emplace_back(id, std::move(why));
        return id;
    }
    void end(const RunId& id, Outcome outcome = Outcome::Succeeded, int exitCode = 0) {
        RunRecord& run = runs.at(id);
        run.state = RunState::Finished;
        run.report.id = id;
        run.report.outcome = outcome;
        run.report.exitCode = exitCode;
        for (auto* listener : listeners) listener->finished(run.report);
    }
    const RunRecord* find(const RunId& id) const override {
        const auto found = runs.find(id);
        return found == runs.end() ? nullptr : &found->second;
    }
    void stop(const RunId& id, std::chrono::microseconds, Reply<void> reply) override {
        stopped.push_back(id);
        reply({});
    }
    std::vector<const RunRecord*> current() const override { return {}; }
    Result<RunPage> list(const RunFilter& filter) const override {
        RunPage page;
        for (const auto& run : listed)
            if ((filter.capsule.empty() || filter.capsule == run.request.capsule) && run.started >= filter.since &&
                (filter.target.empty() || filter.target == run.target))
                page.runs.push_back(run);
        return page;
    }
    static bool isOf(const RunRecord& run, const std::string& capsule, const Occurrence& occurrence) {
        const auto& known = run.request.occurrence;
        return run.request.capsule == capsule && known && known->on == occurrence.on && known->cause == occurrence.cause;
    }
    Result<bool> actedOn(const std::string& capsule, const Occurrence& occurrence, std::uint64_t since) const override {
        ++asked;
        for (const auto& run : listed)
            if (run.started >= since && isOf(run, capsule, occurrence)) return true;
        for (const auto& [id, run] : runs)
            if (isOf(run, capsule, occurrence)) return true;
        return false;
    }
    Result<std::vector<EndedRun>> unchained(const std::string& capsule, const std::string& by, std::uint64_t since, std::uint64_t,
                                            std::uint32_t limit) const override {
        std::vector<EndedRun> ended;
        for (const auto& run : listed) {
            if (run.request.capsule != capsule || run.state != RunState::Finished || run.started < since || ended.size() == limit) continue;
            const Occurrence chained{"run-finished", 0, run.id, {}};
            if (std::none_of(listed.begin(), listed.end(), [&](const RunRecord& other) { return isOf(other, by, chained); }))
                ended.push_back({run.id, run.target, run.report.outcome, run.report.exitCode});
        }
        return ended;
    }
    std::uint64_t lastEnd() const override { return last; }
    void plan(RunRequest, Reply<RunPlan> reply) override { reply(none()); }
    void signal(const RunId&, int, Reply<void> reply) override { reply(none()); }
    void attach(const RunId&, const AttachOptions&, Reply<AttachedEnds> reply) override { reply(none()); }
    void resize(const RunId&, std::uint32_t, std::uint32_t, Reply<void> reply) override { reply(none()); }
    Result<void> detach(const RunId&) override { return none(); }
    Result<OutputChunk> output(const RunId&, Stream, std::uint64_t, std::uint32_t) override { return none(); }
    Result<UniqueFd> openOutput(const RunId&, Stream) override { return none(); }
    void artifacts(const RunId&, Reply<std::vector<Artifact>> reply) override { reply(none()); }
    void openArtifact(const RunId&, const std::string&, Reply<UniqueFd> reply) override { reply(none()); }
    void callerGone(const std::string&) override {}

private:
    RunId newId() { return "run-" + std::to_string(ids++); }
    static tl::unexpected<Error> none() { return fail(Errc::NotSupported, "not here"); }
};

inline EventLoop newLoop() {
    sd_event* loop = nullptr;
    EXPECT_GE(sd_event_new(&loop), 0);
    return EventLoop(loop);
}
// Turns the loop for what is ready now.
inline void turn(const EventLoop& loop) {
    while (sd_event_run(loop.get(), 0) > 0) {
    }
}

// Targets docker:c0, docker:c1, … with a label n = 0, 1, ….
struct World : ::testing::Test {
    EventLoop loop = newLoop();
    FewLauncher launcher;
    TargetTable targets{loop.get(), launcher};
    FewCapsules capsules;
    ManualRuns runs;
    std::deque<Sleeper> processes;

    void have(int count) {
        targets.state({"docker", "docker", BackendState::Ready, "", 0});
        for (int i = 0; i < count; ++i) add(std::to_string(i));
        ASSERT_EQ(targets.list().size(), static_cast<std::size_t>(count));
    }
    void add(const std::string& number) {
        processes.emplace_back();
        Target target;
        target.id = {"docker", "c" + number};
        target.name = "name-" + number;
        target.labels = {{"n", number}};
        target.pid = processes.back().pid();
        targets.added(target);
    }
    // Its backend tells of it once more, by this label.
    void relabel(const std::string& number, const std::string& label) {
        Target target;
        target.id = {"docker", "c" + number};
        target.name = "name-" + number;
        target.labels = {{"n", label}};
        target.pid = targets.resolve("docker:c" + number).value()->pid;
        targets.added(target);
    }
};

}  // namespace recap::test
