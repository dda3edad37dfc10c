// SPDX-License-Identifier: Apache-2.0
// What a run has written: its log by stream, its artifacts from the kept tar.
#include <algorithm>

#include "daemon/engine/engine.hpp"
#include "sdk/image/tar_index.hpp"

namespace recap {
namespace {

constexpr std::uint32_t kMaxChunk = 1 << 20;
constexpr std::uint32_t kPumped = 64 * 1024;
constexpr std::size_t kIndices = 16;

Result<OutputChunk> readRange(int fd, std::uint64_t begin, std::uint64_t size, std::uint64_t offset) {
    OutputChunk chunk;
    chunk.data.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPumped, size - offset)));
    const ssize_t count = ::pread(fd, chunk.data.data(), chunk.data.size(), static_cast<off_t>(begin + offset));
    if (count < 0) return failErrno("read an artifact");
    chunk.data.resize(static_cast<std::size_t>(count));
    chunk.eof = offset + chunk.data.size() == size || count == 0;
    return chunk;
}

}  // namespace

// The launcher's log as long as we have it, our own file afterwards.
Result<std::shared_ptr<LogReader>> Engine::logOf(Run& run) {
    if (run.log != nullptr || !run.concluded) return run.log;
    auto file = parts_.estates.openLog(run.record.id);
    if (!file && file.error().code == Errc::NotFound) return std::shared_ptr<LogReader>();
    if (!file) return forward(std::move(file));
    run.log = std::make_shared<LogReader>(std::move(*file));
    return run.log;
}

Result<OutputChunk> Engine::output(const RunId& id, Stream stream, std::uint64_t offset, std::uint32_t max) {
    Run* run = known(id);
    if (run == nullptr) return fail(Errc::NotFound, "no run '" + id + "' is under way or has just ended");
    auto log = logOf(*run);
    if (!log) return forward(std::move(log));
    if (*log == nullptr) return OutputChunk{{}, run->concluded};
    return (*log)->read(stream, offset, std::min(max, kMaxChunk), run->concluded);
}

Result<UniqueFd> Engine::openOutput(const RunId& id, Stream stream) {
    if (known(id) == nullptr) return fail(Errc::NotFound, "no run '" + id + "' is under way or has just ended");
    return pumps_.open([this, id, stream](std::uint64_t offset) { return output(id, stream, offset, kPumped); });
}

void Engine::whenKept(const RunId& id, std::function<void(Result<Run*>)> then) {
    Run* run = known(id);
    if (run == nullptr) return then(fail(Errc::NotFound, "no run '" + id + "' has just ended"));
    if (!run->concluded) return then(fail(Errc::Busy, "run " + id + " is under way; its artifacts are there once it has ended"));
    if (run->estate == Estate::Waiting) {
        run->onceKept.push_back([this, id, then = std::move(then)] { whenKept(id, then); });
        return;
    }
    if (run->estate == Estate::Failed) return then(tl::unexpected(run->estateProblem));
    then(run);
}

// Held for the last few runs: whoever opens all of a run's artifacts one by one has them indexed once.
Result<std::shared_ptr<const ArtifactIndex>> Engine::indexOf(Run& run) {
    if (run.index != nullptr) return run.index;
    auto tar = parts_.estates.openArtifacts(run.record.id);
    if (!tar) return forward(std::move(tar));
    auto members = image::indexTar(tar->get());
    if (!members) return forward(std::move(members));
    auto index = std::make_shared<ArtifactIndex>();
    for (const auto& member : *members) {
        if (member.kind != image::TarMember::Kind::Regular) continue;
        if (index->ranges.try_emplace(member.path, ArtifactIndex::Range{member.offset, member.size}).second)
            index->all.push_back({member.path, member.size, member.mode});
    }
    if (indexed_.size() >= kIndices) {
        if (Run* oldest = known(indexed_.front())) oldest->index.reset();
        indexed_.pop_front();
    }
    indexed_.push_back(run.record.id);
    run.index = std::move(index);
    return run.index;
}

void Engine::artifacts(const RunId& id, Reply<std::vector<Artifact>> reply) {
    whenKept(id, [this, reply = std::move(reply)](Result<Run*> run) {
        if (!run) return reply(tl::unexpected(run.error()));
        if (!(*run)->record.report.hasArtifacts) return reply(std::vector<Artifact>());
        auto index = indexOf(**run);
        if (!index) return reply(tl::unexpected(index.error()));
        reply((*index)->all);
    });
}

void Engine::openArtifact(const RunId& id, const std::string& name, Reply<UniqueFd> reply) {
    whenKept(id, [this, name, reply = std::move(reply)](Result<Run*> run) {
        if (!run) return reply(tl::unexpected(run.error()));
        const RunId& kept = (*run)->record.id;
        if (!(*run)->record.report.hasArtifacts) return reply(fail(Errc::NotFound, "run " + kept + " has no artifacts"));
        auto index = indexOf(**run);
        if (!index) return reply(tl::unexpected(index.error()));
        const auto found = (*index)->ranges.find(name);
        if (found == (*index)->ranges.end()) return reply(fail(Errc::NotFound, "run " + kept + " has no artifact '" + name + "'"));
        auto tar = parts_.estates.openArtifacts(kept);
        if (!tar) return reply(tl::unexpected(tar.error()));
        const auto file = std::make_shared<UniqueFd>(std::move(*tar));
        reply(pumps_.open(
            [file, range = found->second](std::uint64_t offset) { return readRange(file->get(), range.offset, range.size, offset); }));
    });
}

}  // namespace recap
