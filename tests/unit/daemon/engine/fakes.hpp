// SPDX-License-Identifier: Apache-2.0
// The engine's neighbours, driven by hand: nothing happens until a test says so.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "daemon/core/capsules.hpp"
#include "daemon/core/launcher.hpp"
#include "daemon/core/planner.hpp"
#include "daemon/core/process.hpp"
#include "daemon/core/target_table.hpp"
#include "daemon/engine/engine.hpp"

namespace recap::test {

struct ManualLauncher : Launcher {
    bool there = true;
    std::vector<Reply<TargetFacts>> inspects;
    std::vector<std::pair<RunPlan, Reply<UniqueFd>>> starts;
    std::vector<std::pair<RunId, std::chrono::microseconds>> stops;
    std::vector<std::pair<RunId, int>> signals;
    std::vector<Reply<UniqueFd>> collects;
    std::vector<RunId> acks;
    std::vector<Reply<std::vector<LaunchedRun>>> lists;
    std::vector<Reply<UniqueFd>> logs;
    std::vector<std::pair<RunId, AttachOptions>> attaches;
    std::vector<std::pair<RunId, std::pair<std::uint32_t, std::uint32_t>>> sizes;

    bool available() const override { return there; }
    void inspect(int, Reply<TargetFacts> reply) override { inspects.push_back(std::move(reply)); }
    void start(const RunPlan& plan, Reply<UniqueFd> reply) override { starts.emplace_back(plan, std::move(reply)); }
    void signal(const RunId& id, int number, Reply<void> reply) override {
        signals.emplace_back(id, number);
        reply({});
    }
    void stop(const RunId& id, std::chrono::microseconds grace, Reply<void> reply) override {
        stops.emplace_back(id, grace);
        reply({});
    }
    void attach(const RunId& id, const AttachOptions& options, Reply<AttachedEnds> reply) override {
        attaches.emplace_back(id, options);
        reply(AttachedEnds{});
    }
    void resize(const RunId& id, std::uint32_t rows, std::uint32_t columns, Reply<void> reply) override {
        sizes.emplace_back(id, std::pair(rows, columns));
        reply({});
    }
    void log(const RunId&, Reply<UniqueFd> reply) override { logs.push_back(std::move(reply)); }
    void collect(const RunId&, Reply<UniqueFd> reply) override { collects.push_back(std::move(reply)); }
    void ack(const RunId& id) override { acks.push_back(id); }
    void list(Reply<std::vector<LaunchedRun>> reply) override { lists.push_back(std::move(reply)); }
    void importImage(UniqueFd, Reply<ImportedImage> reply) override { reply(fail(Errc::NotSupported, "not here")); }
    void removeImage(const std::string&, Reply<void> reply) override { reply(fail(Errc::NotSupported, "not here")); }
    void images(Reply<std::vector<AdmissionState>> reply) override { reply(fail(Errc::NotSupported, "not here")); }
};

struct NowPlanner : Planner {
    Result<void> verdict;
    std::string digest = std::string(64, 'a');
    std::chrono::seconds keep{3600};
    Processes processes = Processes::None;
    std::uint32_t namespaces = 0;
    std::string tenant;
    int asked = 0;
    Result<RunPlan> plan(const RunId& id, const RunRequest& request, const Target& target) override {
        ++asked;
        if (!verdict) return tl::unexpected(verdict.error());
        RunPlan plan;
        plan.id = id;
        plan.request = request;
        plan.target = target;
        plan.tenant = tenant;
        plan.imageDigest = digest;
        plan.argv = {"/bin/true"};
        plan.artifactsKeep = keep;
        plan.sandbox.processes = processes;
        plan.sandbox.namespaces = namespaces;
        return plan;
    }
};

struct OneCapsule : CapsuleStore {
    CapsuleInfo info;
    OneCapsule() {
        info.name = "tcpdump";
        info.revision = 7;
    }
    Result<const CapsuleInfo*> find(std::string_view wanted) const override {
        if (wanted != info.name) return fail(Errc::NotFound, "no capsule '" + std::string(wanted) + "'");
        return &info;
    }
    std::vector<const CapsuleInfo*> list() const override { return {&info}; }
    Result<std::string> install(std::string_view, bool) override { return fail(Errc::NotSupported, "not here"); }
    Result<void> remove(std::string_view) override { return fail(Errc::NotSupported, "not here"); }
    Result<void> reload() override { return {}; }
};

struct Notes : RunListener {
    std::vector<RunId> submittedIds, startedIds, expiredIds;
    std::vector<RunReport> reports;
    void submitted(const RunId& id) override { submittedIds.push_back(id); }
    void started(const RunPlan& plan) override { startedIds.push_back(plan.id); }
    void changed(const RunId&, const Phases&) override {}
    void finished(const RunReport& report) override { reports.push_back(report); }
    void expired(const RunId& id) override { expiredIds.push_back(id); }
};

inline EventLoop newLoop() {
    sd_event* loop = nullptr;
    EXPECT_GE(sd_event_new(&loop), 0);
    return EventLoop(loop);
}

// Turns the loop until the condition holds; a test that waits for what never comes ends in ctest's timeout.
inline void turnUntil(sd_event* loop, const std::function<bool()>& holds) {
    while (!holds()) ASSERT_GT(sd_event_run(loop, 20'000'000), 0) << "nothing comes any more";
}
// Turns the loop for what is ready now.
inline void turn(sd_event* loop) {
    while (sd_event_run(loop, 0) > 0) {
    }
}

class Folder {
public:
    Folder() {
        char name[] = "/tmp/recap-engine-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

inline UniqueFd memory(const std::string& bytes) {
    UniqueFd fd(::memfd_create("log", MFD_CLOEXEC));
    EXPECT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return fd;
}
inline std::string frame(int stream, const std::string& bytes) {
    std::string framed(1, static_cast<char>(stream));
    for (int shift = 0; shift < 32; shift += 8) framed += static_cast<char>(bytes.size() >> shift);
    return framed + bytes;
}

// recapd's spine over a manual launcher, with this very process as the target.
struct Spine {
    Folder folder;
    EventLoop loop = newLoop();
    ManualLauncher launcher;
    NowPlanner planner;
    OneCapsule capsules;
    Notes notes;
    TargetTable targets{loop.get(), launcher};
    std::unique_ptr<Ledger> ledger;
    std::unique_ptr<Estates> estates;
    std::unique_ptr<Engine> engine;
    EngineLimits limits;              // taken by restart()
    std::uint64_t most = 4ull << 30;  // bytes of kept files; likewise
    int admissionsAsked = 0;
    std::function<void()> onAdmissions = [] {};

    Spine() { open(); }
    void open() {
        ledger = Ledger::open(loop.get(), folder.path() + "/ledger.db").value();
        estates = Estates::open(loop.get(), launcher, folder.path(), most).value();
        engine = Engine::create({loop.get(), launcher, planner, capsules, targets, *ledger, *estates,
                                 [this](const std::function<void()>& then) {
                                     ++admissionsAsked;
                                     onAdmissions();
                                     then();
                                 },
                                 limits})
                     .value();
        engine->listen(notes);
    }
    // As after SIGKILL: what the ledger has is what there is. (The ledger writes its queue at the end, which a kill may not.)
    void restart() {
        engine.reset();
        estates.reset();
        ledger.reset();
        notes = {};
        open();
    }
    static TargetFacts facts() {
        TargetFacts facts;
        facts.startTime = pinProcess(::getpid()).value().startTime;
        return facts;
    }
    void haveTarget(const std::string& id = "web-id", const std::string& name = "web", bool inspected = true) {
        Target target;
        target.id = {"docker", id};
        target.name = name;
        target.pid = ::getpid();
        targets.state({"docker", "docker", BackendState::Ready, "", 0});
        targets.added(target);
        if (inspected) answerInspect();
    }
    void answerInspect() {
        auto pending = std::exchange(launcher.inspects, {});
        for (auto& reply : pending) reply(facts());
    }
    RunRequest request(const std::string& target = "docker:web") const {
        RunRequest request;
        request.capsule = "tcpdump";
        request.target = target;
        request.args = {"-c", "5"};
        request.caller = {1000, ":1.7"};
        return request;
    }
    void within(const EngineLimits& some) {
        limits = some;
        restart();
    }
    RunId refusedRun() {
        if (targets.list().empty()) haveTarget();
        planner.verdict = fail(Errc::Denied, "no");
        const auto before = notes.reports.size();
        const RunId id = engine->submit(request()).value();
        untilReported(before + 1);
        planner.verdict = {};
        return id;
    }
    RunId startedRun(UniqueFd log = {}) {
        if (targets.list().empty()) haveTarget();
        const RunId id = engine->submit(request()).value();
        turnUntil(loop.get(), [&] { return !launcher.starts.empty() && launcher.starts.back().first.id == id; });
        launcher.starts.back().second(std::move(log));
        return id;
    }
    void untilReported(std::size_t count = 1) {
        turnUntil(loop.get(), [&] { return notes.reports.size() >= count; });
    }
};

inline RunReport report(const RunId& id, Outcome outcome = Outcome::Succeeded, int exitCode = 0) {
    RunReport report;
    report.id = id;
    report.outcome = outcome;
    report.exitCode = exitCode;
    report.phases = {0, 0, 30, 40, 50, 60};
    return report;
}

}  // namespace recap::test
