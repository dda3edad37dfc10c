// SPDX-License-Identifier: Apache-2.0
// What the bus room speaks for, driven by hand.
#pragma once

#include <stdexcept>

#include "daemon/bus/rooms.hpp"

namespace recap::test {

struct FakeLauncher : Launcher {
    std::vector<Reply<std::vector<AdmissionState>>> imagesAsked;
    std::vector<std::string> removed;
    int imports = 0;
    bool keepsImports = false;  // until the test answers them
    struct Import {
        UniqueFd archive;
        Reply<ImportedImage> reply;
    };
    std::vector<Import> kept;

    bool available() const override { return true; }
    std::vector<Reply<TargetFacts>> inspects;
    void inspect(int, Reply<TargetFacts> reply) override { inspects.push_back(std::move(reply)); }
    void start(const RunPlan&, Reply<UniqueFd>) override {}
    void signal(const RunId&, int, Reply<void>) override {}
    void stop(const RunId&, std::chrono::microseconds, Reply<void>) override {}
    void attach(const RunId&, const AttachOptions&, Reply<AttachedEnds>) override {}
    void resize(const RunId&, std::uint32_t, std::uint32_t, Reply<void>) override {}
    void log(const RunId&, Reply<UniqueFd>) override {}
    void collect(const RunId&, Reply<UniqueFd>) override {}
    void ack(const RunId&) override {}
    void list(Reply<std::vector<LaunchedRun>>) override {}
    void importImage(UniqueFd archive, Reply<ImportedImage> reply) override {
        ++imports;
        if (keepsImports) return kept.push_back({std::move(archive), std::move(reply)});
        reply(fail(Errc::NotSupported, "not here"));
    }
    void removeImage(const std::string& digest, Reply<void> reply) override {
        removed.push_back(digest);
        reply({});
    }
    void images(Reply<std::vector<AdmissionState>> reply) override { imagesAsked.push_back(std::move(reply)); }
};

struct FakeExporter : ImageExporter {
    struct Export {
        std::string backend;
        std::string reference;
        UniqueFd out;
        std::function<void(Result<void>)> reply;
    };
    std::vector<Export> asked;
    void exportImage(const std::string& backend, const std::string& reference, UniqueFd out,
                     std::function<void(Result<void>)> reply) override {
        asked.push_back({backend, reference, std::move(out), std::move(reply)});
    }
};

struct FakePlanner : Planner {
    Result<RunPlan> plan(const RunId&, const RunRequest&, const Target&) override { return fail(Errc::NotSupported, "not here"); }
};

struct FakeRuns : RunTable {
    std::map<RunId, RunRecord> runs;
    std::vector<Artifact> artifactsOfAll;
    std::vector<std::string> gone;
    std::vector<RunRequest> submitted;
    bool broken = false;
    Error outputError{Errc::NotFound, "no output"};

    Result<RunId> submit(RunRequest request) override {
        if (broken) throw std::runtime_error("broken inside");
        submitted.push_back(std::move(request));
        return RunId("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    }
    Result<std::vector<RunId>> expect(const RunRequest&, const std::vector<std::string>&, std::function<void(Result<void>)>) override {
        return fail(Errc::NotSupported, "not here");
    }
    Result<RunId> leaveOut(RunRequest, Outcome, std::string) override { return fail(Errc::NotSupported, "not here"); }
    const RunRecord* find(const RunId& id) const override {
        const auto found = runs.find(id);
        return found == runs.end() ? nullptr : &found->second;
    }
    std::vector<const RunRecord*> current() const override { return {}; }
    Result<bool> actedOn(const std::string&, const Occurrence&, std::uint64_t) const override { return false; }
    Result<std::vector<EndedRun>> unchained(const std::string&, const std::string&, std::uint64_t, std::uint64_t,
                                            std::uint32_t) const override {
        return std::vector<EndedRun>();
    }
    std::uint64_t lastEnd() const override { return 0; }
    CapsuleHealth capsuleHealth;
    mutable RunFilter filtered;
    CapsuleHealth health(const std::string&) const override { return capsuleHealth; }
    Result<RunPage> list(const RunFilter& filter) const override {
        filtered = filter;
        RunPage page;
        for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
            if (filter.before.empty() || run->first < filter.before) page.runs.push_back(run->second);
        }
        return page;
    }
    void plan(RunRequest, Reply<RunPlan> reply) override { reply(fail(Errc::NotSupported, "not here")); }
    void stop(const RunId&, std::chrono::microseconds, Reply<void> reply) override { reply({}); }
    void signal(const RunId&, int, Reply<void> reply) override { reply({}); }
    void attach(const RunId&, const AttachOptions&, Reply<AttachedEnds> reply) override { reply(fail(Errc::NotSupported, "not here")); }
    void resize(const RunId&, std::uint32_t, std::uint32_t, Reply<void> reply) override { reply({}); }
    Result<void> detach(const RunId&) override { return {}; }
    Result<OutputChunk> output(const RunId&, Stream, std::uint64_t, std::uint32_t) override { return tl::unexpected<Error>(outputError); }
    Result<UniqueFd> openOutput(const RunId&, Stream) override { return fail(Errc::NotSupported, "not here"); }
    void artifacts(const RunId&, Reply<std::vector<Artifact>> reply) override { reply(artifactsOfAll); }
    void openArtifact(const RunId&, const std::string&, Reply<UniqueFd> reply) override { reply(fail(Errc::NotSupported, "not here")); }
    void callerGone(const std::string& busName) override { gone.push_back(busName); }
};

// Whatever is asked for matches the targets that it was given.
struct FakeBatches : BatchTable {
    std::vector<Target> matching;
    mutable std::vector<Selection> asked;
    std::vector<BatchRequest> started;
    std::map<BatchId, BatchRecord> batches;
    std::vector<std::pair<BatchId, std::chrono::microseconds>> stopped;
    std::vector<std::string> gone;

    Result<std::vector<const Target*>> choose(const std::string&, const Selection& selection, const Reachable& reachable) const override {
        asked.push_back(selection);
        std::vector<const Target*> chosen;
        for (const auto& target : matching)
            if (reachable(target)) chosen.push_back(&target);
        return chosen;
    }
    Result<BatchId> start(BatchRequest request) override {
        started.push_back(std::move(request));
        return BatchId("01ARZ3NDEKTSV4RRFFQ69G5FBB");
    }
    const BatchRecord* findBatch(const BatchId& id) const override {
        const auto found = batches.find(id);
        return found == batches.end() ? nullptr : &found->second;
    }
    std::vector<const BatchRecord*> currentBatches() const override { return {}; }
    void stopBatch(const BatchId& id, std::chrono::microseconds grace, Reply<void> reply) override {
        stopped.emplace_back(id, grace);
        reply({});
    }
    void batchCallerGone(const std::string& busName) override { gone.push_back(busName); }
};

struct FakeCapsules : CapsuleStore {
    CapsuleInfo info;
    int installed = 0;
    FakeCapsules() {
        info.name = "tool";
        info.image = "recap/tool:1";
    }
    Result<const CapsuleInfo*> find(std::string_view name) const override {
        if (name != info.name) return fail(Errc::NotFound, "no such capsule");
        return &info;
    }
    std::vector<const CapsuleInfo*> list() const override { return {&info}; }
    Result<std::string> nameIn(std::string_view toml) const override { return std::string(toml); }
    Result<std::string> install(std::string_view toml, bool) override {
        ++installed;
        return std::string(toml);
    }
    Result<void> remove(std::string_view) override { return {}; }
    Result<void> reload() override { return {}; }
    std::optional<Enabling> enablingOf(std::string_view name) const override {
        return name == info.name && info.enabled ? std::optional(info.enabling) : std::nullopt;
    }
};

struct FakeSchedules : ScheduleTable {
    struct Enabled {
        std::string capsule;
        std::uint32_t uid = 0;
        std::string shown;
    };
    std::vector<CapsuleInfo> checked;
    std::vector<Enabled> enabled;
    std::vector<std::string> disabled;
    std::vector<std::string> turns;
    std::vector<ScheduleRow> all;
    std::optional<Error> refusal;
    int refreshed = 0;

    void check(const CapsuleInfo& capsule, Reply<void> reply) override {
        checked.push_back(capsule);
        reply(said());
    }
    void enable(const std::string& capsule, std::uint32_t uid, const std::string& shown, Reply<void> reply) override {
        enabled.push_back({capsule, uid, shown});
        reply(said());
    }
    Result<void> disable(const std::string& capsule) override {
        disabled.push_back(capsule);
        return said();
    }
    Result<BatchId> run(const std::string& capsule) override {
        turns.push_back(capsule);
        if (refusal) return tl::unexpected<Error>(*refusal);
        return BatchId("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    }
    void list(Reply<std::vector<ScheduleRow>> reply) override { reply(all); }
    void refresh() override { ++refreshed; }

private:
    Result<void> said() const {
        if (refusal) return tl::unexpected<Error>(*refusal);
        return {};
    }
};

struct FakePolicies : PolicyStore {
    mutable int listed = 0;
    std::vector<PolicyInfo> list() const override {
        ++listed;
        return {};
    }
    Result<void> reload() override { return {}; }
};

struct FakeImages : ImageStore {
    Image image;
    bool broken = false;
    FakeImages() {
        image.digest = std::string(64, 'a');
        image.references = {"recap/tool:1"};
    }
    Result<const Image*> find(std::string_view reference) const override {
        if (reference != "recap/tool:1") return fail(Errc::NotFound, "no such image");
        return &image;
    }
    std::vector<const Image*> list() const override {
        if (broken) throw std::runtime_error("broken inside");
        return {&image};
    }
    Result<void> checkReference(const std::string& reference) const override {
        if (reference == "Bad Name") return fail(Errc::InvalidArgument, "a bad name");
        return {};
    }
    Result<std::string> record(ImportedImage imported, const ImportName& name) override {
        recorded.emplace_back(imported.digest, name.given);
        askedFor = name.asked;
        return imported.digest;
    }
    std::vector<std::pair<std::string, std::string>> recorded;
    std::vector<std::string> askedFor;
    Result<void> forget(const std::string&) override { return {}; }
    void admissions(const std::vector<AdmissionState>&) override {}
};

}  // namespace recap::test
