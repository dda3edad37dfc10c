// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/estate.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace recap {
namespace {

constexpr std::size_t kPiece = 256 * 1024;

Result<UniqueFd> openForReading(const std::string& path, const std::string& what) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd && errno == ENOENT) return fail(Errc::NotFound, what + " is not kept any more");
    if (!fd) return failErrno("open " + path);
    return fd;
}

Result<void> writeAll(int fd, const char* data, std::size_t size, const std::string& what) {
    while (size > 0) {
        const ssize_t count = ::write(fd, data, size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failErrno("write " + what);
        data += count;
        size -= static_cast<std::size_t>(count);
    }
    return {};
}

// A collector that was cut off leaves no end of archive: then the launcher's copy must stay.
Result<void> checkEnd(int tar, const RunId& id) {
    std::array<char, 512> block{};
    const off_t size = ::lseek(tar, 0, SEEK_END);
    const auto offset = size - static_cast<off_t>(block.size());
    const bool whole = offset >= 0 && size % static_cast<off_t>(block.size()) == 0 &&
                       ::pread(tar, block.data(), block.size(), offset) == static_cast<ssize_t>(block.size()) &&
                       std::all_of(block.begin(), block.end(), [](char byte) { return byte == 0; });
    if (!whole) return fail(Errc::Io, "the artifacts of run " + id + " ended early");
    return {};
}

}  // namespace

Result<std::unique_ptr<Estates>> Estates::open(sd_event* loop, Launcher& launcher, const std::string& state, std::uint64_t most) {
    auto vault = Vault::open(loop, state, most);
    if (!vault) return forward(std::move(vault));
    return std::unique_ptr<Estates>(new Estates(loop, launcher, state, std::move(*vault)));
}

Estates::~Estates() = default;

std::string Estates::path(const char* folder, const RunId& id, const char* ending) const {
    return state_ + "/" + folder + "/" + id + ending;
}

void Estates::keep(const RunId& id, std::shared_ptr<LogReader> log, bool artifacts, Done done) {
    if (jobs_.contains(id)) return done(fail(Errc::Busy, "the output of run " + id + " is being kept already"));
    auto job = std::make_unique<Job>();
    job->owner = this;
    job->id = id;
    job->log = std::move(log);
    job->artifacts = artifacts;
    job->done = std::move(done);
    sd_event_source* source = nullptr;
    const int error = sd_event_add_defer(loop_, &source, onTurn, job.get());
    if (error < 0) return job->done(failErrno("keep the output of run " + id, -error));
    job->source.reset(source);
    sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE);
    sd_event_source_set_enabled(source, SD_EVENT_ON);
    jobs_[id] = std::move(job);
}

int Estates::onTurn(sd_event_source*, void* data) {
    auto& job = *static_cast<Job*>(data);
    job.owner->next(job);
    return 0;
}

void Estates::next(Job& job) {
    if (job.log != nullptr) {
        auto all = copyLog(job);
        if (!all) return end(job, forward(std::move(all)));
        if (*all) publish(job, "logs", ".log");
    } else if (job.artifacts) {
        collect(job);
    } else {
        end(job, {});
    }
}

Result<void> Estates::create(Job& job, const char* folder, const char* ending) {
    const std::string name = path(folder, job.id, ending) + kPart;
    job.into.reset(::open(name.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    job.copied = 0;
    if (!job.into) return failErrno("create " + name);
    job.part = name;
    return {};
}

// The job waits without a source of its own meanwhile.
void Estates::publish(Job& job, const char* folder, const char* ending) {
    job.source.reset();
    job.from.reset();
    job.part.clear();  // the vault's from here
    vault_->publish(std::move(job.into), path(folder, job.id, ending), [this, id = job.id](Result<void> result) {
        if (Job* found = find(id)) published(*found, std::move(result));
    });
}

void Estates::published(Job& job, Result<void> result) {
    if (result && job.log != nullptr) {
        job.log.reset();
        return next(job);
    }
    end(job, std::move(result));
}

Result<bool> Estates::copyLog(Job& job) {
    if (!job.into) {
        if (auto created = create(job, "logs", ".log"); !created) return forward(std::move(created));
    }
    auto offset = static_cast<off_t>(job.copied);
    const ssize_t count = ::sendfile(job.into.get(), job.log->fd(), &offset, kPiece);
    if (count < 0) return failErrno("copy the log of run " + job.id);
    job.copied += static_cast<std::uint64_t>(count);
    return count == 0;
}

void Estates::collect(Job& job) {
    job.source.reset();
    launcher_.collect(job.id, [this, id = job.id](Result<UniqueFd> pipe) {
        if (Job* found = find(id)) receive(*found, std::move(pipe));
    });
}

void Estates::receive(Job& job, Result<UniqueFd> pipe) {
    if (!pipe) return end(job, forward(std::move(pipe), "collect the artifacts of run " + job.id));
    if (auto created = create(job, "artifacts", ".tar"); !created) return end(job, std::move(created));
    job.from = std::move(*pipe);
    ::fcntl(job.from.get(), F_SETFL, O_NONBLOCK);
    sd_event_source* source = nullptr;
    const int error = sd_event_add_io(loop_, &source, job.from.get(), EPOLLIN, onReadable, &job);
    if (error < 0) return end(job, failErrno("watch the artifacts of run " + job.id, -error));
    sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IDLE);
    job.source.reset(source);
}

int Estates::onReadable(sd_event_source*, int, std::uint32_t, void* data) {
    auto& job = *static_cast<Job*>(data);
    auto all = job.owner->copyArtifacts(job);
    if (!all)
        job.owner->end(job, forward(std::move(all)));
    else if (*all)
        job.owner->publish(job, "artifacts", ".tar");
    return 0;
}

Result<bool> Estates::copyArtifacts(Job& job) {
    std::array<char, 64 * 1024> buffer{};
    const ssize_t count = ::read(job.from.get(), buffer.data(), buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count < 0) return failErrno("read the artifacts of run " + job.id);
    if (count == 0) {
        if (auto whole = checkEnd(job.into.get(), job.id); !whole) return forward(std::move(whole));
        return true;
    }
    auto written = writeAll(job.into.get(), buffer.data(), static_cast<std::size_t>(count), "the artifacts of run " + job.id);
    if (!written) return forward(std::move(written));
    return false;
}

void Estates::end(Job& job, Result<void> result) {
    if (!job.part.empty()) ::unlink(job.part.c_str());
    const Done done = std::move(job.done);
    jobs_.erase(RunId(job.id));
    done(std::move(result));
}

Estates::Job* Estates::find(const RunId& id) {
    const auto found = jobs_.find(id);
    return found == jobs_.end() ? nullptr : found->second.get();
}

Result<UniqueFd> Estates::openLog(const RunId& id) const { return openForReading(path("logs", id, ".log"), "the log of run " + id); }

Result<UniqueFd> Estates::openArtifacts(const RunId& id) const {
    return openForReading(path("artifacts", id, ".tar"), "the archive of run " + id + "'s artifacts");
}

}  // namespace recap
