// SPDX-License-Identifier: Apache-2.0
#include "daemon/engine/vault.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "daemon/core/ulid.hpp"

namespace recap {
namespace {

constexpr const char* kFolders[] = {"/logs", "/artifacts"};

struct Kept {
    RunId id;
    std::string path;
    std::uint64_t bytes = 0;
};

Result<void> makeFolder(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
    return failErrno("make folder " + path);
}

std::vector<std::string> namesIn(const std::string& folder) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), [](DIR* open) { return ::closedir(open); });
    while (stream != nullptr) {
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr) break;
        if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    return names;
}

std::uint64_t bytesOf(const struct stat& status) { return static_cast<std::uint64_t>(status.st_blocks) * 512; }

// ID.log and ID.tar; what has another name is none of ours.
std::vector<Kept> keptIn(const std::string& state) {
    std::vector<Kept> all;
    for (const char* folder : kFolders) {
        for (const auto& name : namesIn(state + folder)) {
            Kept kept{name.substr(0, std::min(name.find('.'), name.size())), state + folder + "/" + name, 0};
            struct stat status {};
            if (name.ends_with(kPart) || !isUlid(kept.id) || ::lstat(kept.path.c_str(), &status) != 0) continue;
            kept.bytes = bytesOf(status);
            all.push_back(std::move(kept));
        }
    }
    return all;
}

void removeFile(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        std::fprintf(stderr, SD_ERR "remove %s: %s\n", path.c_str(), ::strerrordesc_np(errno));
}

void removeParts(const std::string& folder) {
    for (const auto& name : namesIn(folder)) {
        if (name.ends_with(kPart)) removeFile(folder + "/" + name);
    }
}

Result<void> syncFolder(const std::string& path) {
    const UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0) return failErrno("sync folder " + path);
    return {};
}

}  // namespace

Result<std::unique_ptr<Vault>> Vault::open(sd_event* loop, const std::string& state, std::uint64_t most) {
    for (const char* folder : kFolders) {
        if (auto made = makeFolder(state + folder); !made) return forward(std::move(made));
        removeParts(state + folder);
    }
    std::unique_ptr<Vault> vault(new Vault(state, most));
    vault->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!vault->wake_) return failErrno("eventfd of the kept files");
    sd_event_source* source = nullptr;
    const int error = sd_event_add_io(loop, &source, vault->wake_.get(), EPOLLIN, onDone, vault.get());
    if (error < 0) return failErrno("watch the kept files", -error);
    vault->told_.reset(source);
    vault->worker_ = std::thread([self = vault.get()] { self->work(); });
    return vault;
}

Vault::~Vault() {
    if (!worker_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    worker_.join();
}

void Vault::publish(UniqueFd file, std::string path, Done done) {
    enqueue({std::move(file), std::move(path), std::move(done), {}, {}, {}});
}

void Vault::sweep(std::unordered_set<RunId> wanted, RunId newest) { enqueue({{}, {}, {}, std::move(wanted), std::move(newest), {}}); }

void Vault::enqueue(Job job) {
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(std::move(job));
    }
    changed_.notify_one();
}

void Vault::work() {
    for (const auto& kept : keptIn(state_)) held_ += kept.bytes;
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        auto jobs = std::exchange(queue_, {});
        lock.unlock();
        perform(jobs);
        if (held_ > most_) bound();
        lock.lock();
        for (auto& job : jobs) {
            if (job.done) done_.emplace_back(std::move(job.done), std::move(job.result));
        }
        if (!done_.empty()) ::eventfd_write(wake_.get(), 1);
    }
}

void Vault::perform(std::vector<Job>& jobs) {
    std::set<std::string> folders;
    for (auto& job : jobs) {
        if (!job.done) {
            removeUnwanted(job);
            continue;
        }
        struct stat status {};
        if (::fdatasync(job.file.get()) != 0 || ::fstat(job.file.get(), &status) != 0)
            job.result = failErrno("sync " + job.path);
        else if (::rename((job.path + kPart).c_str(), job.path.c_str()) != 0)
            job.result = failErrno("rename to " + job.path);
        if (!job.result) {
            removeFile(job.path + kPart);
            continue;
        }
        held_ += bytesOf(status);
        folders.insert(job.path.substr(0, job.path.rfind('/')));
    }
    for (const auto& folder : folders) {
        const auto synced = syncFolder(folder);
        for (auto& job : jobs) {
            if (!synced && job.done && job.result && job.path.starts_with(folder + "/")) job.result = synced;
        }
    }
}

void Vault::removeUnwanted(const Job& sweep) {
    held_ = 0;
    for (const auto& kept : keptIn(state_)) {
        if (kept.id <= sweep.newest && !sweep.wanted.contains(kept.id))
            removeFile(kept.path);
        else
            held_ += kept.bytes;
    }
}

// Down to a little less than is allowed, so that this does not come with each file.
void Vault::bound() {
    auto all = keptIn(state_);
    std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) { return a.id < b.id; });
    held_ = 0;
    for (const auto& kept : all) held_ += kept.bytes;
    if (held_ <= most_) return;
    std::size_t removed = 0;
    for (; removed < all.size() && held_ > most_ - most_ / 10; ++removed) {
        removeFile(all[removed].path);
        held_ -= all[removed].bytes;
    }
    std::fprintf(stderr, SD_WARNING "kept logs and artifacts were over %llu bytes: the %zu oldest files are removed\n",
                 static_cast<unsigned long long>(most_), removed);
}

int Vault::onDone(sd_event_source*, int fd, std::uint32_t, void* self) {
    auto& vault = *static_cast<Vault*>(self);
    eventfd_t count = 0;
    ::eventfd_read(fd, &count);
    std::vector<std::pair<Done, Result<void>>> done;
    {
        const std::lock_guard lock(vault.mutex_);
        done.swap(vault.done_);
    }
    for (auto& [tell, result] : done) tell(std::move(result));
    return 0;
}

}  // namespace recap
